//! One JSONata expression, read once.

use std::collections::BTreeSet;

use jsonata_core::ast::AstNode;
use jsonata_core::evaluator::{Context, Evaluator, EvaluatorOptions};
use jsonata_core::parser;
use jsonata_core::value::JValue;
use serde_json::{Map, Value};

/// How long one expression may take; ours take microseconds.
const BOUND_MS: u64 = 1_000;

/// An expression, without its `{%` and `%}`.
#[derive(Clone, Debug)]
pub struct Expression {
    text: String,
    ast: AstNode,
    /// The variables that it reads, `states` among them: no others are bound.
    reads: BTreeSet<String>,
}

impl Expression {
    /// The expression inside `{% … %}`; nothing if the text is not one.
    pub fn inside(text: &str) -> Option<&str> {
        let inner = text.strip_prefix("{%")?.strip_suffix("%}")?;
        Some(inner.trim())
    }

    /// Reads an expression.
    ///
    /// # Errors
    /// It is not JSONata, in words.
    pub fn parse(text: &str) -> Result<Self, String> {
        let ast = parser::parse(text).map_err(|error| format!("{text:?}: {error}"))?;
        let mut reads = BTreeSet::new();
        walk(&tree(&ast), &mut |key, value| {
            if key == "Variable"
                && let Some(name) = value.as_str()
            {
                reads.insert(name.to_owned());
            }
        });
        Ok(Self {
            text: text.to_owned(),
            ast,
            reads,
        })
    }

    /// As written.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Its value, with `states` bound as `$states`. No value is an error, as it is in Step Functions.
    ///
    /// # Errors
    /// It cannot be evaluated, or has no value, in words.
    pub fn evaluate(
        &self,
        variables: &Map<String, Value>,
        states: &Value,
    ) -> Result<Value, String> {
        let mut context = Context::new();
        for name in &self.reads {
            let value = match name.as_str() {
                "states" => Some(states),
                name => variables.get(name),
            };
            if let Some(value) = value {
                context.bind(name.clone(), JValue::from(value.clone()));
            }
        }
        let options = EvaluatorOptions {
            timeout_ms: Some(BOUND_MS),
            ..EvaluatorOptions::default()
        };
        let value = Evaluator::with_options(context, options)
            .evaluate(&self.ast, &JValue::Null)
            .map_err(|error| format!("{:?}: {error}", self.text))?;
        if value.is_undefined() {
            return Err(format!("{:?} has no value", self.text));
        }
        let json = value
            .to_json_string()
            .map_err(|error| format!("{:?}: {error}", self.text))?;
        serde_json::from_str(&json).map_err(|error| format!("{:?}: {error}", self.text))
    }

    /// Variables that it reads, without `$states`.
    pub fn variables(&self) -> BTreeSet<String> {
        let mut found = self.reads.clone();
        found.remove("states");
        found
    }

    /// Functions that it calls.
    pub fn functions(&self) -> BTreeSet<String> {
        let mut found = BTreeSet::new();
        self.walk(&mut |key, value| {
            if key == "Function"
                && let Some(name) = value.get("name").and_then(Value::as_str)
            {
                found.insert(name.to_owned());
            }
        });
        found
    }

    /// Operators that it uses, by the parser's names.
    pub fn operators(&self) -> BTreeSet<String> {
        let mut found = BTreeSet::new();
        self.walk(&mut |key, value| {
            if key == "op"
                && let Some(name) = value.as_str()
            {
                found.insert(name.to_owned());
            }
        });
        found
    }

    /// Every key and value of the tree, as the parser writes it.
    fn walk(&self, see: &mut dyn FnMut(&str, &Value)) {
        walk(&tree(&self.ast), see);
    }
}

/// The tree as the parser writes it.
fn tree(ast: &AstNode) -> Value {
    serde_json::to_value(ast).unwrap_or_default()
}

fn walk(tree: &Value, see: &mut dyn FnMut(&str, &Value)) {
    match tree {
        Value::Object(fields) => {
            for (key, value) in fields {
                see(key, value);
                walk(value, see);
            }
        }
        Value::Array(items) => items.iter().for_each(|item| walk(item, see)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test that fails says where")]

    use super::*;
    use serde_json::json;

    fn value(text: &str, variables: &Value, states: &Value) -> Result<Value, String> {
        let variables = variables.as_object().cloned().unwrap_or_default();
        Expression::parse(text)?.evaluate(&variables, states)
    }

    #[test]
    fn variables_and_states_are_seen() {
        let states =
            json!({ "result": { "Payload": { "waves": [{ "number": 3 }] } }, "input": {} });
        let none = json!({});
        assert_eq!(
            value("$states.result.Payload.waves", &none, &states),
            Ok(json!([{ "number": 3 }]))
        );
        assert_eq!(
            value("[$states.result.Payload.waves]", &none, &states),
            Ok(json!([{ "number": 3 }]))
        );
        assert_eq!(
            value("$states.input.leash = 'leashed'", &none, &states),
            Ok(json!(false))
        );
        assert_eq!(
            value("$looks + 1", &json!({ "looks": 4 }), &states),
            Ok(json!(5))
        );
        let waves = json!({ "waves": [{ "number": 3, "role": "consumer" }], "wave": 0 });
        assert_eq!(value("$waves[$wave].number", &waves, &states), Ok(json!(3)));
        assert_eq!(
            value("$wave < $count($waves)", &waves, &states),
            Ok(json!(true))
        );
        assert_eq!(
            value("[$waves[role = 'consumer']]", &waves, &states),
            Ok(json!([{ "number": 3, "role": "consumer" }]))
        );
        assert_eq!(
            value("[$waves[role = 'producer']]", &waves, &states),
            Ok(json!([]))
        );
        assert_eq!(
            value("[$none]", &json!({ "none": [] }), &states),
            Ok(json!([]))
        );
        assert_eq!(
            value("$at", &json!({ "at": 1_795_839_660_123_i64 }), &states),
            Ok(json!(1_795_839_660_123_i64))
        );
        assert_eq!(
            value(
                "$merge([$o, { 'source': $o.target, 'target': $o.source }])",
                &json!({ "o": { "source": "a", "target": "b", "epoch": 7 } }),
                &states
            ),
            Ok(json!({ "source": "b", "target": "a", "epoch": 7 }))
        );
        assert_eq!(
            value(
                "$join([$c.waiting.application], ', ')",
                &json!({ "c": { "waiting": [{ "application": "a" }] } }),
                &states
            ),
            Ok(json!("a"))
        );
        assert_eq!(
            value(
                "$error = null ? 'none' : $error.page",
                &json!({ "error": null }),
                &states
            ),
            Ok(json!("none"))
        );
    }

    #[test]
    fn no_value_is_an_error() {
        assert!(value("$nobody", &json!({}), &json!({})).is_err());
        assert!(value("$states.input.nothing", &json!({}), &json!({ "input": {} })).is_err());
    }

    #[test]
    fn it_tells_what_it_uses() {
        let expression =
            Expression::parse("$wave < $count($waves) and $not($leashed) ? $states.input : null")
                .unwrap();
        assert_eq!(
            expression.variables(),
            ["leashed", "wave", "waves"].map(str::to_owned).into()
        );
        assert_eq!(
            expression.functions(),
            ["count", "not"].map(str::to_owned).into()
        );
        assert!(expression.operators().contains("LessThan"));
    }
}
