//! What a case is.

use crate::failure::Step;
use crate::subject::{Feature, Level};
use crate::test::Test;

/// How the connection that a case was about must end. It is judged apart from what else the case saw.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// The node under test closes it. A reset counts as a close.
    Closes,
    /// It stays, and works: an echo is answered.
    Stays,
    /// Either will do, or the case has looked itself.
    Free,
}

/// One thing that the suite tries.
///
/// Cases are made by [`Case::new`] and the methods behind it, in tables, each beside its code.
#[derive(Debug, Clone, Copy)]
pub struct Case {
    /// `CHAPTER/WHAT-IS-TRIED`. Names are stable: people write them into their lists of expected failures.
    pub name: &'static str,
    /// The requirements that a right node shows here. The first one is what a failure breaks, unless it says otherwise.
    pub proves: &'static [&'static str],
    /// What is tried, and what must come of it, in one sentence.
    pub about: &'static str,
    /// The level of nodes for which the case is made.
    pub level: Level,
    /// What else a node must be able to do.
    pub needs: &'static [Feature],
    /// The outcomes that are allowed, where the specification allows several.
    pub allowed: &'static [&'static str],
    /// How the connection must end.
    pub end: End,
    /// Whether it is run in each framing.
    pub each_framing: bool,
    /// Whether it is run only where the suite starts the node itself.
    pub own_process: bool,
    /// What is done.
    pub run: fn(&mut Test<'_>) -> Step,
}

impl Case {
    /// A case of the level *transport*, which says nothing about the end.
    pub const fn new(
        name: &'static str,
        proves: &'static [&'static str],
        about: &'static str,
        run: fn(&mut Test<'_>) -> Step,
    ) -> Self {
        Case {
            name,
            proves,
            about,
            level: Level::Transport,
            needs: &[],
            allowed: &[],
            end: End::Free,
            each_framing: false,
            own_process: false,
            run,
        }
    }

    /// Made for nodes of this level and above. From *node* on, the case is run in each framing.
    #[must_use]
    pub const fn level(mut self, level: Level) -> Self {
        self.level = level;
        self.each_framing = matches!(level, Level::Node | Level::Global);
        self
    }

    /// Made for nodes that can do this.
    #[must_use]
    pub const fn needs(mut self, needs: &'static [Feature]) -> Self {
        self.needs = needs;
        self
    }

    /// The case says by [`Test::outcome`] what came of it, and these are allowed.
    #[must_use]
    pub const fn allows(mut self, outcomes: &'static [&'static str]) -> Self {
        self.allowed = outcomes;
        self
    }

    /// The connection that the case gives to [`Test::ends`] must be closed by the node under test.
    #[must_use]
    pub const fn closes(mut self) -> Self {
        self.end = End::Closes;
        self
    }

    /// The connection that the case gives to [`Test::ends`] must stay, and work.
    #[must_use]
    pub const fn stays(mut self) -> Self {
        self.end = End::Stays;
        self
    }

    /// Run in each framing that the node has.
    #[must_use]
    pub const fn in_each_framing(mut self) -> Self {
        self.each_framing = true;
        self
    }

    /// Run once, whatever framings the node has.
    #[must_use]
    pub const fn once(mut self) -> Self {
        self.each_framing = false;
        self
    }

    /// Needs a node that the suite starts itself.
    #[must_use]
    pub const fn alone(mut self) -> Self {
        self.own_process = true;
        self
    }
}
