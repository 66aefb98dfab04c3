//! The floors of the house: no files of a crate import each other in a circle.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// The modules from the root of the crate to one of its files.
type Module = Vec<String>;

/// The files of a crate, and which of them each file imports.
struct Crate {
    /// The text of each file, without comments and strings.
    files: BTreeMap<Module, String>,
    names: BTreeMap<Module, String>,
}

impl Crate {
    fn read(source: &Path) -> Self {
        let mut read = Crate { files: BTreeMap::new(), names: BTreeMap::new() };
        read.folder(source, source);
        assert!(!read.files.is_empty(), "{} has files", source.display());
        read
    }

    fn folder(&mut self, source: &Path, folder: &Path) {
        for entry in fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display())) {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                self.folder(source, &path);
            } else if path.extension().is_some_and(|ending| ending == "rs") {
                let name = path.strip_prefix(source).expect("it is in the folder").to_str().expect("a plain name");
                let mut module: Module = name.trim_end_matches(".rs").split('/').map(String::from).collect();
                if ["mod", "lib", "main"].contains(&module[module.len() - 1].as_str()) {
                    module.pop();
                }
                let text = fs::read_to_string(&path).expect("a file of text");
                self.names.insert(module.clone(), name.into());
                self.files.insert(module, without_comments(&text));
            }
        }
    }

    /// Returns the file in which the item stands that a path in a module names; `None` for paths into other crates.
    fn file_of(&self, module: &[String], path: &[String], depth: usize) -> Option<Module> {
        let mut at = module.to_vec();
        let mut rest = path;
        match rest.first()?.as_str() {
            "crate" => (at, rest) = (Module::new(), &rest[1..]),
            "self" => rest = &rest[1..],
            "super" => {
                while rest.first().is_some_and(|name| name == "super") {
                    at.pop()?;
                    rest = &rest[1..];
                }
            }
            name if self.files.contains_key(&child(module, name)) => {}
            _ => return None,
        }
        while let Some(name) = rest.first()
            && self.files.contains_key(&child(&at, name))
        {
            at.push(name.clone());
            rest = &rest[1..];
        }
        // An item that a module only passes on stands in the file of another one.
        if let Some(name) = rest.first()
            && depth < 8
            && let Some(text) = self.files.get(&at)
        {
            let passed = uses(text).into_iter().filter(|(public, _)| *public).map(|(_, path)| path);
            let found = passed.filter(|path| path.last() == Some(name)).find_map(|path| self.file_of(&at, &path, depth + 1));
            if found.is_some() {
                return found;
            }
        }
        self.files.contains_key(&at).then_some(at)
    }

    /// Returns the files that a file imports.
    fn imports(&self, module: &[String]) -> BTreeSet<Module> {
        let text = &self.files[module];
        let used = uses(text).into_iter().filter(|(public, _)| !public).map(|(_, path)| path);
        let files = used.chain(paths(text)).filter_map(|path| self.file_of(module, &path, 0));
        files.filter(|file| file != module).collect()
    }

    /// Returns the files that import each other in a circle, all that hang together in one entry.
    fn circles(&self) -> Vec<Vec<&str>> {
        let imports: BTreeMap<&Module, BTreeSet<Module>> =
            self.files.keys().map(|file| (file, self.imports(file))).collect();
        let reached = |from: &Module| {
            let (mut seen, mut open) = (BTreeSet::new(), vec![from.clone()]);
            while let Some(file) = open.pop() {
                open.extend(imports[&file].iter().filter(|next| seen.insert((*next).clone())).cloned());
            }
            seen
        };
        let reached: BTreeMap<&Module, BTreeSet<Module>> = self.files.keys().map(|file| (file, reached(file))).collect();
        let together = |file: &&Module| -> Vec<&str> {
            let others = reached[*file].iter().filter(|other| reached[*other].contains(*file));
            others.map(|other| self.names[other].as_str()).collect()
        };
        let circles: BTreeSet<Vec<&str>> =
            self.files.keys().map(|file| together(&file)).filter(|all| !all.is_empty()).collect();
        circles.into_iter().collect()
    }
}

fn child(module: &[String], name: &str) -> Module {
    module.iter().cloned().chain([name.to_owned()]).collect()
}

/// Removes comments and what is in strings, and tests that stand in the file.
fn without_comments(text: &str) -> String {
    let lines = text.lines().map(|line| line.split("//").next().unwrap_or_default());
    let text: String = lines.flat_map(|line| [line, "\n"]).collect();
    text.split("#[cfg(test)]").next().unwrap_or_default().into()
}

/// Returns the paths of the `use` lines of a file, and whether they pass on what they name.
fn uses(text: &str) -> Vec<(bool, Module)> {
    let mut found = Vec::new();
    for line in text.split(';') {
        let Some(start) = line.rfind("use ").filter(|start| !line[..*start].ends_with(|c: char| c.is_alphanumeric())) else {
            continue;
        };
        let before = line[..start].trim_end();
        let public = before.ends_with("pub") || before.ends_with(')') && before.contains("pub(");
        found.extend(expand(&line[start + 4..]).into_iter().map(|path| (public, path)));
    }
    found
}

/// Writes a tree of paths, such as `a::{b, c::d}`, as paths.
fn expand(tree: &str) -> Vec<Module> {
    let names = |path: &str| -> Module {
        path.split("::").filter_map(|name| name.split_whitespace().next()).map(String::from).collect()
    };
    let Some((head, inner)) = tree.split_once('{') else { return vec![names(tree)] };
    let inner = &inner[..inner.rfind('}').unwrap_or(inner.len())];
    let (mut depth, mut part, mut parts) = (0, String::new(), Vec::new());
    for c in inner.chars().chain([',']) {
        depth += i32::from(c == '{') - i32::from(c == '}');
        if c == ',' && depth == 0 {
            parts.push(std::mem::take(&mut part));
        } else {
            part.push(c);
        }
    }
    let parts = parts.iter().filter(|part| !part.trim().is_empty());
    parts.flat_map(|part| expand(part)).map(|path| [names(head), path].concat()).collect()
}

/// Returns the paths in the code of a file that begin with `crate` or `super`.
fn paths(text: &str) -> Vec<Module> {
    let is_path = |c: char| c.is_alphanumeric() || c == '_' || c == ':';
    let text = text.replace("in crate::", "in ").replace("in super", "in ");
    let words = text.split(|c: char| !is_path(c));
    let paths = words.filter(|word| word.starts_with("crate::") || word.starts_with("super::"));
    paths.map(|path| path.split("::").filter(|name| !name.is_empty()).map(String::from).collect()).collect()
}

fn source(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(name).join("src")
}

#[test]
fn no_files_of_this_crate_import_each_other_in_a_circle() {
    assert_eq!(Crate::read(&source("aemp-proto")).circles(), Vec::<Vec<&str>>::new());
}

#[test]
fn the_floors_of_the_engine_stand_on_each_other() {
    let read = Crate::read(&source("aemp-proto"));
    let floor = |module: &[String]| {
        let names: Vec<&str> = module.iter().map(String::as_str).collect();
        match names[..] {
            ["engine", "tables", ..] => 1,
            ["engine", "config" | "event"] => 2,
            ["engine", "state"] => 3,
            ["engine", "host"] => 4,
            ["engine", "protocol", ..] => 5,
            ["engine", "transport", ..] => 6,
            ["engine", ..] => 7,
            ["actor", ..] => 8,
            _ => 0,
        }
    };
    for module in read.files.keys().filter(|module| floor(module) > 0) {
        for import in read.imports(module) {
            assert!(floor(&import) <= floor(module), "{} imports {}", read.names[module], read.names[&import]);
        }
    }
}

#[test]
fn an_import_upwards_is_a_circle() {
    let mut read = Crate::read(&source("aemp-proto"));
    let file: Module = ["engine", "tables", "ports"].map(String::from).into();
    *read.files.get_mut(&file).expect("there is such a file") += "\nuse crate::actor::Context;\n";
    let circles = read.circles();
    let circle = circles.iter().find(|circle| circle.contains(&"engine/tables/ports.rs")).expect("a circle");
    assert!(circle.contains(&"actor/state.rs"), "{circle:?}");
}
