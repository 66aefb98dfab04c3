//! Texts from elsewhere, made harmless for a terminal and for a log.

use std::fmt::{self, Display, Write};

/// Shows something that came from elsewhere so that it does nothing to a terminal, begins no line, and hides or reorders
/// nothing that stands beside it (`LOG-14`).
///
/// Control characters (escape sequences, line ends and tabs among them), characters that change the direction of a text, and
/// those that nobody sees are written as Rust writes them in a literal.
///
/// ```
/// use aemp_node::Escaped;
/// assert_eq!(Escaped("a\x1b[2J\nb\u{202e}c ä☺").to_string(), r"a\u{1b}[2J\nb\u{202e}c ä☺");
/// ```
#[derive(Debug, Clone, Copy)]
pub struct Escaped<T>(pub T);

impl Escaped<char> {
    /// Whether this character is shown in another way than it is.
    pub fn differs(&self) -> bool {
        is_harmful(self.0)
    }
}

impl<T: Display> Display for Escaped<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(Escaping(f), "{}", self.0)
    }
}

/// Writes on what it is given, escaped.
struct Escaping<'a, 'f>(&'a mut fmt::Formatter<'f>);

impl Write for Escaping<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let mut rest = text;
        while let Some((start, character)) = rest.char_indices().find(|(_, character)| is_harmful(*character)) {
            self.0.write_str(&rest[..start])?;
            write!(self.0, "{}", character.escape_default())?;
            rest = &rest[start + character.len_utf8()..];
        }
        self.0.write_str(rest)
    }
}

/// Whether a character does more than to be seen.
fn is_harmful(character: char) -> bool {
    character.is_control()
        || matches!(
            character,
            // Soft hyphen, the marks and overrides of direction, separators of lines, what is not seen, tags. The two
            // joiners are left: words need them.
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}'
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_moves_a_cursor_begins_a_line_or_turns_a_text_around_is_written_out() {
        for (text, shown) in [
            ("", ""),
            ("plain ä☺ \\n", "plain ä☺ \\n"),
            ("\x1b]0;title\x07", "\\u{1b}]0;title\\u{7}"),
            ("a\r\n\tb\0", "a\\r\\n\\tb\\u{0}"),
            ("\u{9b}31m\u{7f}", "\\u{9b}31m\\u{7f}"),
            ("a\u{202e}b\u{2066}c\u{200f}\u{2028}", "a\\u{202e}b\\u{2066}c\\u{200f}\\u{2028}"),
            ("e\u{301} क\u{94d}\u{200d}ष", "e\u{301} क\u{94d}\u{200d}ष"),
        ] {
            assert_eq!(Escaped(text).to_string(), shown);
        }
    }
}
