//! `sasl.jaas.config`: a login module and its options.

/// What a JAAS line says.
pub struct Jaas {
    /// The login module's class, without its package.
    pub module: String,
    /// Its options in order. May hold secrets: never printed.
    pub options: Vec<(String, String)>,
}

impl Jaas {
    /// Reads `org.apache.….ScramLoginModule required username="u" password="p";`. None for what is not of this form.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let text = text.strip_suffix(';').unwrap_or(text);
        let mut words = words(text)?.into_iter();
        let class = words.next()?;
        let module = class.rsplit('.').next().unwrap_or_default().to_owned();
        let flag = words.next()?;
        let flags = ["required", "requisite", "sufficient", "optional"];
        if module.is_empty() || !flags.contains(&flag.to_ascii_lowercase().as_str()) {
            return None;
        }
        let options = words
            .map(|word| {
                let (name, value) = word.split_once('=')?;
                Some((name.to_owned(), value.to_owned()))
            })
            .collect::<Option<Vec<_>>>()?;
        Some(Self { module, options })
    }

    /// An option's value.
    pub fn option(&self, name: &str) -> Option<&str> {
        let found = self.options.iter().find(|(option, _)| option == name);
        found.map(|(_, value)| value.as_str())
    }
}

/// Words parted by white space, quotes taken away; none if a quote does not end.
fn words(text: &str) -> Option<Vec<String>> {
    let (mut words, mut word, mut quote) = (Vec::new(), String::new(), None);
    let mut letters = text.chars();
    while let Some(letter) = letters.next() {
        match (quote, letter) {
            (Some(_), '\\') => word.extend(letters.next()),
            (Some(open), _) if letter == open => quote = None,
            (None, '"' | '\'') => quote = Some(letter),
            (None, _) if letter.is_whitespace() => {
                if !word.is_empty() {
                    words.push(std::mem::take(&mut word));
                }
            }
            (Some(_) | None, _) => word.push(letter),
        }
    }
    if !word.is_empty() {
        words.push(word);
    }
    quote.is_none().then_some(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_login_module_with_its_options_is_understood() {
        let text = "org.apache.kafka.common.security.scram.ScramLoginModule required username=\"mm2\"  password='a \"b\\'=;' ;";
        let jaas = Jaas::parse(text);
        let jaas = jaas.as_ref();
        assert_eq!(
            jaas.map(|jaas| jaas.module.as_str()),
            Some("ScramLoginModule")
        );
        assert_eq!(jaas.and_then(|jaas| jaas.option("username")), Some("mm2"));
        assert_eq!(
            jaas.and_then(|jaas| jaas.option("password")),
            Some("a \"b'=;")
        );
        for strange in [
            "",
            "x",
            "x required y",
            "x sometimes a=b",
            "x required a=\"b",
            ";",
        ] {
            assert!(Jaas::parse(strange).is_none(), "{strange}");
        }
    }
}
