//! Text that is safe in a page, whoever wrote it.

use std::fmt;

/// Text as HTML, in element content and in quoted attributes. Names of topics and groups, reasons that quote a broker and
/// notes of people are other people's words.
pub struct Text<'a>(pub &'a str);

impl fmt::Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for letter in self.0.chars() {
            match letter {
                '&' => f.write_str("&amp;")?,
                '<' => f.write_str("&lt;")?,
                '>' => f.write_str("&gt;")?,
                '"' => f.write_str("&quot;")?,
                '\'' => f.write_str("&#39;")?,
                '`' => f.write_str("&#96;")?,
                // What draws nothing, or turns the order of what is around it, would show something else than is there.
                letter if hides(letter) => f.write_str("\u{fffd}")?,
                letter => fmt::Write::write_char(f, letter)?,
            }
        }
        Ok(())
    }
}

/// A name in a narrow column: it may break behind what separates its words, rather than within one.
pub struct Name<'a>(pub &'a str);

impl fmt::Display for Name<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for word in self.0.split_inclusive(['.', '_', '-']) {
            write!(f, "{}", Text(word))?;
            if word.ends_with(['.', '_', '-']) {
                f.write_str("<wbr>")?;
            }
        }
        Ok(())
    }
}

/// A sentence of ours: what stands between backticks is a command or a name.
pub struct Sentence<'a>(pub &'a str);

impl fmt::Display for Sentence<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A backtick without its partner is only a backtick.
        let pairs = self.0.matches('`').count() / 2;
        for (at, part) in self.0.splitn(pairs * 2 + 1, '`').enumerate() {
            if at % 2 == 1 {
                write!(f, "<code>{}</code>", Text(part))?;
            } else {
                Text(part).fmt(f)?;
            }
        }
        Ok(())
    }
}

fn hides(letter: char) -> bool {
    (letter.is_control() && letter != '\n' && letter != '\t')
        || matches!(
            letter,
            '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}'
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_peoples_words_stay_words() {
        let text = "<script>alert(\"x\")</script> & 'y' `z` \u{202e}";
        let safe = Text(text).to_string();
        assert!(!safe.contains(['<', '>', '"', '\'', '`', '\u{202e}']));
    }

    #[test]
    fn names_break_behind_their_words() {
        let of = |name| Name(name).to_string();
        assert_eq!(of("shop.orders_eu-1"), "shop.<wbr>orders_<wbr>eu-<wbr>1");
        assert_eq!(of("<b>.x"), "&lt;b&gt;.<wbr>x");
        assert_eq!(of(""), "");
    }

    #[test]
    fn commands_stand_out_and_stay_words() {
        let of = |text| Sentence(text).to_string();
        assert_eq!(of("run `a <b>` now"), "run <code>a &lt;b&gt;</code> now");
        assert_eq!(of("`a` and `b`"), "<code>a</code> and <code>b</code>");
        assert_eq!(of("one ` alone"), "one &#96; alone");
    }
}
