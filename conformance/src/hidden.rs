//! A secret that nobody is to read in a report.

use crate::hex::hex;

/// What stands in the place of a secret.
const INSTEAD: &str = "(the secret)";

/// A secret, and what it looks like when it is written.
#[derive(Clone)]
pub struct Hidden {
    texts: Vec<String>,
    octets: Vec<Vec<u8>>,
}

impl std::fmt::Debug for Hidden {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Hidden(…)")
    }
}

impl Hidden {
    /// Hides this secret, which is not empty, and its hexadecimal digits, which are what the method `cleartext` sends.
    pub fn new(secret: &[u8]) -> Self {
        let text: String = secret.iter().copied().map(char::from).collect();
        let digits = hex(secret);
        let escaped = |octets: &[u8]| octets.escape_ascii().to_string();
        let mut texts = vec![escaped(secret), escaped(text.as_bytes()), text.escape_debug().to_string(), text];
        texts.extend([digits.to_uppercase(), digits]);
        // The longest form first, lest a part of it stay.
        texts.sort_by_key(|text| std::cmp::Reverse(text.len()));
        texts.dedup();
        let octets = texts.iter().map(|text| text.as_bytes().to_vec()).chain([secret.to_vec()]).collect();
        Hidden { texts, octets }
    }

    /// The text without the secret.
    pub fn in_text(&self, text: &str) -> String {
        self.texts.iter().fold(text.to_owned(), |text, hidden| text.replace(hidden.as_str(), INSTEAD))
    }

    /// The octets with asterisks for those of the secret.
    pub fn in_octets(&self, octets: &[u8]) -> Vec<u8> {
        let mut octets = octets.to_vec();
        for hidden in &self.octets {
            let mut at = 0;
            while at + hidden.len() <= octets.len() {
                if octets[at..].starts_with(hidden) {
                    octets[at..at + hidden.len()].fill(b'*');
                }
                at += 1;
            }
        }
        octets
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_form_of_a_secret_is_left() {
        let hidden = Hidden::new(b"pass\xe4\"word");
        assert_eq!(hidden.in_text("a pass\u{e4}\"word b"), "a (the secret) b");
        assert_eq!(hidden.in_text(r#"["pass\xe4\"word"]"#), r#"["(the secret)"]"#);
        assert_eq!(hidden.in_text(r#"pass\xc3\xa4\"word pass\xe4\"word"#), "(the secret) (the secret)");
        assert_eq!(hidden.in_text("cleartext;70617373e422776f7264;json"), "cleartext;(the secret);json");
        assert_eq!(hidden.in_octets(b"x70617373e422776f7264pass\xe4\"wordpass"), b"x******************************pass");
        assert_eq!(hidden.in_octets("apass\u{e4}\"word".as_bytes()), b"a***********");
        assert_eq!(format!("{hidden:?}"), "Hidden(…)");
    }
}
