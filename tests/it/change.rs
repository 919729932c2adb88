//! Changes of what runs: they are seen by the next request, the proxy goes on where it can, no request
//! is lost, and what the process holds is what its files say. `ROUNDS=50` soaks.

mod held;
mod hostile;
mod killed;
mod kinds;
pub mod load;
mod lossless;
pub mod manifests;
pub mod processes;
mod storm;
mod walk;

/// How often something random is tried.
pub fn rounds(usual: u64) -> u64 {
    let given = std::env::var("ROUNDS").ok();
    let given = given.and_then(|rounds| rounds.parse().ok());
    given.unwrap_or(usual)
}

/// Numbers that are the same everywhere for one seed.
pub struct Dice(u64);

impl Dice {
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % end as u64) as usize
    }
}
