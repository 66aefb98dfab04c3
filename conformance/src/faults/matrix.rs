//! Which cases each fault fails, as it is written down.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{self, Display};

/// The names of the cases that each fault fails. A case counts under one name, whatever the framing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Matrix {
    rows: BTreeMap<String, BTreeSet<String>>,
}

const HEADER: &str = "\
# Which cases of the suite each wrong node fails: faults, and under each the cases. Made by
#     aemp-conformance faults --write conformance/faults.txt -- aemp run --service conformance --start-line
# A case stands here if it failed both times that it was tried in json; `--check` in place of `--write` compares.
";

impl Matrix {
    /// Reads what [`Matrix`] displays.
    ///
    /// # Errors
    ///
    /// When a case stands there without a fault, or something twice.
    pub fn read(text: &str) -> Result<Self, String> {
        let mut matrix = Matrix::default();
        let mut fault: Option<String> = None;
        for (number, line) in (1..).zip(text.lines()).filter(|(_, line)| !line.is_empty() && !line.starts_with('#')) {
            let new = match (line.strip_prefix("    "), &fault) {
                (Some(case), Some(fault)) => matrix.add(fault, case),
                (Some(case), None) => return Err(format!("line {number}: there is no fault above {case}")),
                (None, _) => {
                    fault = Some(line.to_owned());
                    matrix.rows.insert(line.into(), BTreeSet::new()).is_none()
                }
            };
            if !new {
                return Err(format!("line {number}: {:?} is there twice", line.trim()));
            }
        }
        Ok(matrix)
    }

    /// Adds a fault that fails nothing so far.
    pub fn add_fault(&mut self, fault: &str) {
        self.rows.entry(fault.into()).or_default();
    }

    /// Adds that a fault fails a case; says whether that was not there.
    pub fn add(&mut self, fault: &str, case: &str) -> bool {
        self.rows.entry(fault.into()).or_default().insert(case.into())
    }

    /// The faults, and the cases that each of them fails.
    pub fn rows(&self) -> impl Iterator<Item = (&str, &BTreeSet<String>)> {
        self.rows.iter().map(|(fault, cases)| (fault.as_str(), cases))
    }

    /// Whether the fault fails the case.
    pub fn has(&self, fault: &str, case: &str) -> bool {
        self.rows.get(fault).is_some_and(|cases| cases.contains(case))
    }

    /// All cases that some fault fails.
    pub fn cases(&self) -> BTreeSet<&str> {
        self.rows.values().flatten().map(String::as_str).collect()
    }

    /// What is picked of it.
    #[must_use]
    pub fn part(&self, picks: impl Fn(&str, &str) -> bool) -> Self {
        let mut part = Matrix::default();
        for (fault, cases) in self.rows() {
            for case in cases.iter().filter(|case| picks(fault, case)) {
                part.add(fault, case);
            }
        }
        part
    }

    /// Adds all of another one.
    pub fn extend(&mut self, other: Matrix) {
        for (fault, cases) in other.rows {
            self.rows.entry(fault).or_default().extend(cases);
        }
    }

    /// For each case one fault that fails it: that which fails the fewest others, as it says most about the case.
    #[must_use]
    pub fn each_case_once(&self) -> Self {
        let mut by_size: Vec<_> = self.rows.iter().collect();
        by_size.sort_by_key(|(fault, cases)| (cases.len(), *fault));
        let (mut chosen, mut seen) = (Matrix::default(), BTreeSet::new());
        for (fault, cases) in by_size {
            for case in cases.iter().filter(|case| seen.insert(*case)) {
                chosen.add(fault, case);
            }
        }
        chosen
    }

    /// What is here and not there, as people read it: each line is `FAULT: CASE`.
    pub fn beyond(&self, other: &Matrix) -> Vec<String> {
        let of_row = |(fault, cases): (&str, &BTreeSet<String>)| {
            let beyond = cases.iter().filter(|case| !other.has(fault, case));
            beyond.map(|case| format!("{fault}: {case}")).collect::<Vec<_>>()
        };
        self.rows().flat_map(of_row).collect()
    }
}

impl Display for Matrix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{HEADER}")?;
        for (fault, cases) in &self.rows {
            writeln!(f, "\n{fault}")?;
            cases.iter().try_for_each(|case| writeln!(f, "    {case}"))?;
        }
        Ok(())
    }
}
