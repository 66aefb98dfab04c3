//! What only a terminal gets: colours, lines that fit, a bar that grows.

use std::io::{self, IsTerminal as _};

/// The widest line of a text that is still read with ease.
const READABLE: usize = 110;
/// Columns where the terminal does not say how many it has.
const COLUMNS: usize = 80;

/// Characters of a line on standard output, if it is a terminal.
pub(super) fn width() -> Option<usize> {
    let columns = || terminal_size::terminal_size_of(io::stdout()).map_or(COLUMNS, |(columns, _)| usize::from(columns.0));
    io::stdout().is_terminal().then(|| columns().min(READABLE))
}

/// The text with its verdicts in colours, if standard output is a terminal and nobody asked for none by `NO_COLOR`.
pub(super) fn coloured(text: &str) -> String {
    if !io::stdout().is_terminal() || std::env::var_os("NO_COLOR").is_some_and(|set| !set.is_empty()) {
        return text.to_owned();
    }
    let colours =
        [("FAIL", 31), ("ERROR", 35), ("UNEXPECTED PASS", 31), ("unexpected pass", 31), ("not strict", 33), ("pass", 32)];
    let line = |line: &str| {
        let colour = colours.iter().find(|(word, _)| line.strip_prefix(word).is_some_and(|rest| rest.starts_with(": ")));
        match colour {
            Some((word, colour)) => format!("\x1b[1;{colour}m{word}\x1b[0m{}", &line[word.len()..]),
            None => line.to_owned(),
        }
    };
    text.split('\n').map(line).collect::<Vec<_>>().join("\n")
}

/// A line without its end: how many cases are done, and how many failed, as wide as the terminal at most.
pub(super) fn progress(done: usize, total: usize, failed: usize) -> String {
    let columns = terminal_size::terminal_size_of(io::stderr()).map_or(COLUMNS, |(columns, _)| usize::from(columns.0));
    bar(done, total, failed, columns)
}

fn bar(done: usize, total: usize, failed: usize, columns: usize) -> String {
    let said = format!(" {done} of {total}{}", if failed > 0 { format!(", {failed} failed") } else { String::new() });
    // The last column stays free: some terminals begin a new line behind it.
    let width = columns.saturating_sub(said.len() + 1).min(40);
    let filled = (width * done / total.max(1)).min(width);
    if width < 5 {
        said.chars().take(columns.saturating_sub(1)).collect()
    } else {
        format!("{}{}{said}", "━".repeat(filled), "─".repeat(width - filled))
    }
}

#[cfg(test)]
mod tests {
    use super::bar;

    #[test]
    fn a_bar_fits_into_its_terminal_whatever_is_done() {
        for columns in [1, 10, 20, 40, 80, 200] {
            for (done, total, failed) in [(0, 0, 0), (0, 10, 0), (5, 10, 2), (10, 10, 10), (20, 10, 3), (999, 1000, 999)] {
                let bar = bar(done, total, failed, columns);
                assert!(bar.chars().count() < columns, "{columns}: {bar}");
            }
        }
        assert_eq!(bar(5, 10, 2, 32), "━━━━━━─────── 5 of 10, 2 failed");
    }
}
