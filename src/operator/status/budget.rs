//! How often may be written.

use std::time::Duration;

use tokio::time::Instant;

/// A token bucket: so many writes at once, and so many a second after that.
#[derive(Clone, Debug)]
pub struct Bucket {
    per_second: f64,
    burst: f64,
    tokens: f64,
    at: Instant,
}

impl Bucket {
    pub fn new(per_second: f64, burst: f64, now: Instant) -> Self {
        Self {
            per_second,
            burst,
            tokens: burst,
            at: now,
        }
    }

    fn fill(&mut self, now: Instant) {
        let passed = now.saturating_duration_since(self.at).as_secs_f64();
        self.tokens = (self.tokens + passed * self.per_second).min(self.burst);
        self.at = now;
    }

    pub fn has(&mut self, now: Instant) -> bool {
        self.fill(now);
        self.tokens >= 1.0
    }

    pub fn take(&mut self, now: Instant) -> bool {
        let has = self.has(now);
        if has {
            self.tokens -= 1.0;
        }
        has
    }

    pub fn is_full(&mut self, now: Instant) -> bool {
        self.fill(now);
        self.tokens >= self.burst
    }

    /// When there is a token again.
    pub fn next(&mut self, now: Instant) -> Instant {
        self.fill(now);
        let missing = (1.0 - self.tokens).max(0.0) / self.per_second;
        now + Duration::from_secs_f64(missing) + Duration::from_millis(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_bucket_gives_its_burst_and_then_its_pace() {
        let start = Instant::now();
        let mut bucket = Bucket::new(100.0, 500.0, start);
        let at_once = (0..1000).filter(|_| bucket.take(start)).count();
        assert_eq!(at_once, 500);
        assert!(bucket.next(start) > start);
        let later = start + Duration::from_secs(2);
        let refilled = (0..1000).filter(|_| bucket.take(later)).count();
        assert_eq!(refilled, 200);
        assert!(bucket.is_full(later + Duration::from_secs(5)));
    }
}
