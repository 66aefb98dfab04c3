//! Documents: their links lead somewhere, and their lines are not too long to read.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// The most columns of a line of Markdown, and of a comment in code.
const MARKDOWN: usize = 120;
const COMMENT: usize = 125;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// All files of the project with this ending.
fn files(ending: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![root()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("a folder").map(|entry| entry.expect("an entry")) {
            let (path, name) = (entry.path(), entry.file_name().to_string_lossy().into_owned());
            let kind = entry.file_type().expect("a type");
            if kind.is_dir() && !name.starts_with('.') && name != "target" && name != "node_modules" {
                folders.push(path);
            } else if kind.is_file() && name.ends_with(ending) {
                found.push(path);
            }
        }
    }
    assert!(found.len() > 5);
    found
}

fn text(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The lines of a document that are not code.
fn prose(document: &str) -> impl Iterator<Item = &str> {
    let mut is_code = false;
    document.lines().filter(move |line| {
        let is_fence = line.trim_start().starts_with("```");
        is_code ^= is_fence;
        !is_code && !is_fence && !line.starts_with("    ")
    })
}

/// The anchors of a document: those of its headings, and those that are written out.
fn anchors(document: &str) -> BTreeSet<String> {
    let mut anchors = BTreeSet::new();
    for line in prose(document) {
        if line.starts_with('#') {
            let heading = line.trim_start_matches('#').trim().to_lowercase();
            let kept = heading.chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c));
            anchors.insert(kept.map(|c| if c == ' ' { '-' } else { c }).collect());
        }
        anchors.extend(line.split("<a id=\"").skip(1).filter_map(|rest| Some(rest.split_once('"')?.0.to_owned())));
    }
    anchors
}

/// The targets of the links in a document.
fn links(document: &str) -> Vec<String> {
    let lines = prose(document).flat_map(|line| {
        line.split("](").skip(1).filter_map(|rest| Some(rest.split_once(')')?.0.to_owned())).collect::<Vec<_>>()
    });
    lines.filter(|link| !link.contains("://") && !link.starts_with("mailto:")).collect()
}

#[test]
fn each_link_leads_to_a_file_and_a_heading_that_exist() {
    let mut wrong = Vec::new();
    for path in files(".md") {
        let document = text(&path);
        for link in links(&document) {
            let (file, anchor) = link.split_once('#').map_or((&link[..], None), |(file, anchor)| (file, Some(anchor)));
            let target = if file.is_empty() { path.clone() } else { path.parent().expect("a folder").join(file) };
            let is_there = match anchor {
                _ if !target.exists() => false,
                Some(anchor) if target.is_file() => anchors(&text(&target)).contains(anchor),
                _ => true,
            };
            if !is_there {
                wrong.push(format!("{}: {link}", path.display()));
            }
        }
    }
    assert_eq!(wrong, Vec::<String>::new());
}

#[test]
fn no_line_of_prose_is_too_wide() {
    let is_wide = |line: &str, width: usize| line.chars().count() > width;
    let mut wide = Vec::new();
    for path in files(".md") {
        // A requirement is one line, so that tools find it whole; a row of a table and a link cannot be broken.
        let is_free = |line: &str| line.starts_with("**[") || line.starts_with('|') || line.contains("](");
        let document = text(&path);
        let lines = prose(&document).filter(|line| is_wide(line, MARKDOWN) && !is_free(line));
        wide.extend(lines.map(|line| format!("{}: {line}", path.display())));
    }
    for path in files(".rs") {
        let code = text(&path);
        let comments = code.lines().filter(|line| line.trim_start().starts_with("//") && is_wide(line, COMMENT));
        // A row of a table, and a command.
        let lines = comments.filter(|line| !line.contains("//! |") && !line.contains("cargo "));
        wide.extend(lines.map(|line| format!("{}: {line}", path.display())));
    }
    assert_eq!(wide, Vec::<String>::new());
}
