//! Which cases each fault fails, as it is written down.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{self, Display};

use crate::run::Verdict;

/// The names of the cases that each fault fails, or makes not strict. A case counts under one name, whatever the framing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Matrix {
    rows: BTreeMap<String, BTreeMap<String, Verdict>>,
}

/// What stands behind a case that does not fail, and should be better.
const NOT_STRICT: &str = "  (not strict)";

const HEADER: &str = "\
# Which cases of the suite each wrong node fails: faults, and under each the cases. Made by
#     aemp-conformance faults --write conformance/faults.txt -- aemp run --service conformance --start-line
# A case stands here if it failed both times that it was tried in json, or came to the verdict behind it; `--check` in place of `--write` compares.
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
                (Some(case), Some(fault)) => match case.strip_suffix(NOT_STRICT) {
                    Some(case) => matrix.add(fault, case, Verdict::NotStrict),
                    None => matrix.add(fault, case, Verdict::Fail),
                },
                (Some(case), None) => return Err(format!("line {number}: there is no fault above {case}")),
                (None, _) => {
                    fault = Some(line.to_owned());
                    matrix.rows.insert(line.into(), BTreeMap::new()).is_none()
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

    /// Adds that a fault brings a case to this verdict; says whether nothing was there.
    pub fn add(&mut self, fault: &str, case: &str, verdict: Verdict) -> bool {
        self.rows.entry(fault.into()).or_default().insert(case.into(), verdict).is_none()
    }

    /// The faults, and the cases that each of them fails, with their verdicts.
    pub fn rows(&self) -> impl Iterator<Item = (&str, &BTreeMap<String, Verdict>)> {
        self.rows.iter().map(|(fault, cases)| (fault.as_str(), cases))
    }

    /// What the fault makes of the case; none if it makes no difference.
    pub fn verdict(&self, fault: &str, case: &str) -> Option<Verdict> {
        self.rows.get(fault).and_then(|cases| cases.get(case)).copied()
    }

    /// All cases that some fault brings to this verdict.
    pub fn cases(&self, verdict: Verdict) -> BTreeSet<&str> {
        let of_row = |cases| BTreeMap::iter(cases).filter(move |(_, found)| **found == verdict);
        self.rows.values().flat_map(of_row).map(|(case, _)| case.as_str()).collect()
    }

    /// What is picked of it.
    #[must_use]
    pub fn part(&self, picks: impl Fn(&str, &str) -> bool) -> Self {
        let mut part = Matrix::default();
        for (fault, cases) in self.rows() {
            for (case, verdict) in cases.iter().filter(|(case, _)| picks(fault, case)) {
                part.add(fault, case, *verdict);
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

    /// For each case and verdict one fault that brings it there: that which does so with the fewest others, as it says most
    /// about the case.
    #[must_use]
    pub fn each_case_once(&self) -> Self {
        let mut by_size: Vec<_> = self.rows.iter().collect();
        by_size.sort_by_key(|(fault, cases)| (cases.len(), *fault));
        let (mut chosen, mut seen) = (Matrix::default(), BTreeSet::new());
        for (fault, cases) in by_size {
            for (case, verdict) in cases.iter().filter(|found| seen.insert(*found)) {
                chosen.add(fault, case, *verdict);
            }
        }
        chosen
    }

    /// What is here and not there, as people read it: each line is `FAULT: CASE`.
    pub fn beyond(&self, other: &Matrix) -> Vec<String> {
        let of_row = |(fault, cases): (&str, &BTreeMap<String, Verdict>)| {
            let beyond = cases.iter().filter(|(case, verdict)| other.verdict(fault, case) != Some(**verdict));
            beyond.map(|(case, verdict)| format!("{fault}: {case}{}", suffix(*verdict))).collect::<Vec<_>>()
        };
        self.rows().flat_map(of_row).collect()
    }
}

fn suffix(verdict: Verdict) -> &'static str {
    if verdict == Verdict::NotStrict { NOT_STRICT } else { "" }
}

impl Display for Matrix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{HEADER}")?;
        for (fault, cases) in &self.rows {
            writeln!(f, "\n{fault}")?;
            cases.iter().try_for_each(|(case, verdict)| writeln!(f, "    {case}{}", suffix(*verdict)))?;
        }
        Ok(())
    }
}
