//! Names of cases as people write them: with `*` for anything.

/// Whether a pattern fits a name: with `*`, each stands for any characters, and all of the name has to fit; without, it is a
/// part of the name.
pub fn fits(pattern: &str, name: &str) -> bool {
    if pattern.contains('*') { fits_whole(pattern, name) } else { name.contains(pattern) }
}

/// Whether a pattern, in which `*` stands for any characters, is all of a name. With or without the framing in brackets
/// behind it.
pub fn fits_whole(pattern: &str, name: &str) -> bool {
    let without_framing = name.split_once('[').map_or(name, |(case, _)| case);
    glob(pattern, name) || glob(pattern, without_framing)
}

fn glob(pattern: &str, name: &str) -> bool {
    let mut parts = pattern.split('*');
    let Some(mut rest) = name.strip_prefix(parts.next().unwrap_or_default()) else { return false };
    let mut last = None;
    for part in parts {
        if let Some(before) = last.replace(part) {
            match rest.split_once(before) {
                Some((_, behind)) => rest = behind,
                None => return false,
            }
        }
    }
    last.map_or(rest.is_empty(), |last| rest.ends_with(last))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_anything_and_a_framing_may_be_left_out() {
        for (pattern, name, fits) in [
            ("greeting/*", "greeting/echo", true),
            ("*echo", "greeting/echo[json]", true),
            ("*echo[json]", "greeting/echo[json]", true),
            ("*echo[cbor]", "greeting/echo[json]", false),
            ("greeting/echo", "greeting/echo[json]", true),
            ("greeting/ech", "greeting/echo", false),
            ("*/*", "greeting/echo", true),
            ("g*t*o", "greeting/echo", true),
            ("g*x*o", "greeting/echo", false),
            ("a*a", "a", false),
        ] {
            assert_eq!(fits_whole(pattern, name), fits, "{pattern} and {name}");
        }
        assert!(fits("echo", "greeting/echo"));
        assert!(!fits("echo", "greeting/own"));
    }
}
