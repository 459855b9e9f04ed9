//! A JSON value in which texts of the form `{% … %}` are expressions.

use serde_json::{Map, Value};

use crate::expression::Expression;

/// A value with expressions in it.
#[derive(Clone, Debug)]
pub enum Template {
    /// As it stands.
    Literal(Value),
    /// Evaluated.
    Expression(Expression),
    /// Field by field.
    Object(Vec<(String, Template)>),
    /// Item by item.
    Array(Vec<Template>),
}

impl Template {
    /// Reads a value.
    ///
    /// # Errors
    /// One of its expressions is none, in words.
    pub fn parse(value: &Value) -> Result<Self, String> {
        match value {
            Value::String(text) => match Expression::inside(text) {
                Some(inner) => Expression::parse(inner).map(Self::Expression),
                None => Ok(Self::Literal(value.clone())),
            },
            Value::Object(fields) => Self::parse_fields(fields).map(Self::Object),
            Value::Array(items) => {
                let items: Result<_, _> = items.iter().map(Self::parse).collect();
                items.map(Self::Array)
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => Ok(Self::Literal(value.clone())),
        }
    }

    /// Reads the fields of an object.
    ///
    /// # Errors
    /// As [`Template::parse`].
    pub fn parse_fields(fields: &Map<String, Value>) -> Result<Vec<(String, Self)>, String> {
        fields
            .iter()
            .map(|(name, value)| Ok((name.clone(), Self::parse(value)?)))
            .collect()
    }

    /// Its value.
    ///
    /// # Errors
    /// An expression cannot be evaluated or has no value, in words.
    pub fn fill(&self, variables: &Map<String, Value>, states: &Value) -> Result<Value, String> {
        match self {
            Self::Literal(value) => Ok(value.clone()),
            Self::Expression(expression) => expression.evaluate(variables, states),
            Self::Object(fields) => fill_fields(fields, variables, states).map(Value::Object),
            Self::Array(items) => {
                let items: Result<_, _> = items
                    .iter()
                    .map(|item| item.fill(variables, states))
                    .collect();
                items.map(Value::Array)
            }
        }
    }

    /// Every expression in it.
    pub fn expressions(&self) -> Vec<&Expression> {
        match self {
            Self::Literal(_) => Vec::new(),
            Self::Expression(expression) => vec![expression],
            Self::Object(fields) => fields
                .iter()
                .flat_map(|(_, field)| field.expressions())
                .collect(),
            Self::Array(items) => items.iter().flat_map(Self::expressions).collect(),
        }
    }
}

/// The values of fields.
///
/// # Errors
/// As [`Template::fill`].
pub fn fill_fields(
    fields: &[(String, Template)],
    variables: &Map<String, Value>,
    states: &Value,
) -> Result<Map<String, Value>, String> {
    fields
        .iter()
        .map(|(name, field)| Ok((name.clone(), field.fill(variables, states)?)))
        .collect()
}
