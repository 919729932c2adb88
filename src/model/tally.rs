//! How many endpoints stand behind an upstream, in which state. It changes more often than what is
//! routed, and is no part of the model.

/// Each endpoint is counted once, in the first state that it has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    pub ready: usize,
    pub not_ready: usize,
    pub terminating: usize,
}

impl Tally {
    pub fn total(self) -> usize {
        self.ready + self.not_ready + self.terminating
    }

    pub fn add(&mut self, other: Self) {
        self.ready += other.ready;
        self.not_ready += other.not_ready;
        self.terminating += other.terminating;
    }
}
