//! Java's property files, as `java.util.Properties` reads them.

use std::collections::BTreeMap;

/// Properties with the keys that the file says more than once; the last one counts, as in Java.
#[derive(Default)]
pub struct Properties {
    /// Values by key. May hold secrets: never printed.
    pub values: BTreeMap<String, String>,
    /// Keys that are there more than once, with different values.
    pub repeated: Vec<String>,
}

impl Properties {
    /// Reads a property file. Every text is one: what cannot be a pair is a key without a value.
    pub fn parse(text: &str) -> Self {
        let mut properties = Self::default();
        for line in logical_lines(text) {
            let (key, value) = split(&line);
            if !key.is_empty() {
                properties.put(key, value);
            }
        }
        properties
    }

    /// Adds a pair.
    pub fn put(&mut self, key: String, value: String) {
        let before = self.values.insert(key.clone(), value);
        if before.is_some_and(|before| self.values.get(&key) != Some(&before))
            && !self.repeated.contains(&key)
        {
            self.repeated.push(key);
        }
    }

    /// A value without the white space around it; none if there is none or it is empty.
    pub fn get(&self, key: &str) -> Option<&str> {
        let value = self.values.get(key)?.trim();
        (!value.is_empty()).then_some(value)
    }
}

/// Lines without comments and blank ones, continued lines joined.
fn logical_lines(text: &str) -> Vec<String> {
    let (mut lines, mut open): (Vec<String>, Option<String>) = (Vec::new(), None);
    for line in text.lines() {
        let line = line.trim_start_matches([' ', '\t', '\u{c}']);
        if open.is_none() && (line.is_empty() || line.starts_with(['#', '!'])) {
            continue;
        }
        let mut whole = open.take().unwrap_or_default();
        let backslashes = line.len() - line.trim_end_matches('\\').len();
        if backslashes % 2 == 1 {
            whole.push_str(line.get(..line.len() - 1).unwrap_or_default());
            open = Some(whole);
        } else {
            whole.push_str(line);
            lines.push(whole);
        }
    }
    lines.extend(open);
    lines
}

/// Key and value: the first `=`, `:` or white space outside an escape parts them.
fn split(line: &str) -> (String, String) {
    let mut escaped = false;
    let end = line
        .char_indices()
        .find(|(_, letter)| {
            let parts = !escaped && matches!(letter, '=' | ':' | ' ' | '\t' | '\u{c}');
            escaped = !escaped && *letter == '\\';
            parts
        })
        .map_or(line.len(), |(at, _)| at);
    let (key, rest) = line.split_at_checked(end).unwrap_or((line, ""));
    let rest = rest.trim_start_matches([' ', '\t', '\u{c}']);
    let rest = rest.strip_prefix(['=', ':']).unwrap_or(rest);
    let rest = rest.trim_start_matches([' ', '\t', '\u{c}']);
    (unescape(key), unescape(rest))
}

/// `\n`, `\t`, `\uXXXX` and so on; before any other letter a backslash says nothing.
fn unescape(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut letters = text.chars();
    while let Some(letter) = letters.next() {
        if letter != '\\' {
            plain.push(letter);
            continue;
        }
        match letters.next() {
            Some('n') => plain.push('\n'),
            Some('t') => plain.push('\t'),
            Some('r') => plain.push('\r'),
            Some('f') => plain.push('\u{c}'),
            Some('u') => {
                let digits: String = letters.clone().take(4).collect();
                match u32::from_str_radix(&digits, 16)
                    .ok()
                    .and_then(char::from_u32)
                {
                    Some(meant) if digits.len() == 4 => {
                        plain.push(meant);
                        letters.nth(3);
                    }
                    Some(_) | None => plain.push('u'),
                }
            }
            Some(other) => plain.push(other),
            None => {}
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_property_file_is_read_as_java_reads_it() {
        let text = "# a comment\n! another\n\nclusters = A, B\nA.bootstrap.servers:a1:9092,\\\n    a2:9092\nA->B.enabled true\nempty\npath=C:\\\\x\\u0041\nspaced\\ key=v \nlast=1\nlast=2\nsame=1\nsame=1\n";
        let properties = Properties::parse(text);
        for (key, value) in [
            ("clusters", "A, B"),
            ("A.bootstrap.servers", "a1:9092,a2:9092"),
            ("A->B.enabled", "true"),
            ("path", "C:\\xA"),
            ("spaced key", "v"),
            ("last", "2"),
        ] {
            assert_eq!(properties.get(key), Some(value), "{key}");
        }
        assert_eq!(properties.get("empty"), None);
        assert_eq!(properties.repeated, ["last"]);
    }

    #[test]
    fn no_text_is_too_strange() {
        for text in [
            "\\",
            "=",
            ":=x",
            "\\u12",
            "a\\\n",
            "\\\n\\\n",
            "\u{0}=\u{feff}",
            "x\\uD800=1",
        ] {
            Properties::parse(text);
        }
    }
}
