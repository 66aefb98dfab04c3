//! Measures how networks scale: whole nodes in memory, under a virtual clock. `docs/scaling.md` has the figures.
//!
//! `cargo run --release -p aemp-proto --example scaling [-- [--csv] [--svg FILE] [NODES:GLOBALS…]]` prints tables; without
//! sizes it takes all of those in the document, which need about a gigabyte of memory and two minutes.

mod heap;
pub(crate) mod measure;
pub(crate) mod picture;
pub(crate) mod report;
mod world;

use std::process::ExitCode;

use measure::{Measured, Size, measure};

fn main() -> ExitCode {
    let arguments = match Arguments::parse(std::env::args().skip(1)) {
        Ok(arguments) => arguments,
        Err(error) => {
            eprintln!("error: {error}\nusage: scaling [--csv] [--svg FILE] [NODES:GLOBALS…]");
            return ExitCode::from(2);
        }
    };
    match run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

#[derive(Default)]
struct Arguments {
    csv: bool,
    svg: Option<String>,
    sizes: Vec<Size>,
}

impl Arguments {
    fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut parsed = Arguments::default();
        while let Some(argument) = arguments.next() {
            match &argument[..] {
                "--csv" => parsed.csv = true,
                "--svg" => parsed.svg = Some(arguments.next().ok_or("--svg needs the name of a file")?),
                size => parsed.sizes.push(parse_size(size)?),
            }
        }
        if parsed.sizes.is_empty() {
            parsed.sizes = all_sizes();
        }
        Ok(parsed)
    }
}

/// The sizes in the document: those in which somebody is not global.
fn all_sizes() -> Vec<Size> {
    let sizes = [10, 100, 1_000, 10_000].into_iter().flat_map(|nodes| [1, 3, 10, 50].map(|globals| Size { nodes, globals }));
    sizes.filter(|size| size.globals < size.nodes).collect()
}

/// `NODES:GLOBALS`. The addresses of the nodes have room for 65,536 of them.
fn parse_size(text: &str) -> Result<Size, String> {
    let size = text
        .split_once(':')
        .and_then(|(nodes, globals)| Some(Size { nodes: nodes.parse().ok()?, globals: globals.parse().ok()? }));
    match size {
        Some(size) if size.globals >= 1 && size.nodes >= size.globals + 4 && size.nodes <= 1 << 16 => Ok(size),
        _ => Err(format!(
            "{text:?} is no size: it is NODES:GLOBALS, with at least one global, four other nodes, and 65,536 nodes at most"
        )),
    }
}

fn run(arguments: &Arguments) -> Result<(), String> {
    let mut all: Vec<Measured> = Vec::new();
    for &size in &arguments.sizes {
        eprintln!("{} nodes, {} globals …", size.nodes, size.globals);
        all.push(measure(size)?);
    }
    print!("{}", if arguments.csv { report::csv(&all) } else { report::tables(&all) });
    if let Some(file) = &arguments.svg {
        std::fs::write(file, picture::picture(&all)).map_err(|error| format!("{file}: {error}"))?;
    }
    Ok(())
}
