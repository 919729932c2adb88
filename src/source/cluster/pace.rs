//! When what has changed is handed over.

use std::time::Duration;

use tokio::time::Instant;

/// A change after quiet is handed over at once. Of changes that follow each other closely, a step's
/// worth is handed over together, and the steps grow while that goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// The shortest time between two hand-overs.
    pub floor: Duration,
    /// The longest that a change waits.
    pub ceiling: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            floor: Duration::from_millis(20),
            ceiling: Duration::from_millis(500),
        }
    }
}

/// Keeps a pace. It only counts: whoever owns it sleeps and hands over.
#[derive(Debug)]
pub struct Pacer {
    pace: Pace,
    /// Between the last hand-over and the next one.
    step: Duration,
    last: Option<Instant>,
    due: Option<Instant>,
}

impl Pacer {
    pub fn new(pace: Pace) -> Self {
        Self {
            pace,
            step: pace.floor,
            last: None,
            due: None,
        }
    }

    /// Something has changed.
    pub fn changed(&mut self, now: Instant) {
        if self.due.is_some() {
            return;
        }
        let Some(last) = self.last else {
            self.due = Some(now);
            return;
        };
        self.due = Some(now.max(last + self.step));
        // The next step is judged by how soon this change came.
        self.step = if now < last + 2 * self.step {
            (2 * self.step).min(self.pace.ceiling)
        } else {
            self.pace.floor
        };
    }

    /// When to hand over; None while nothing has changed.
    pub fn due(&self) -> Option<Instant> {
        self.due
    }

    /// What has changed until now was handed over.
    pub fn handed_over(&mut self, now: Instant) {
        self.last = Some(now);
        self.due = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Milliseconds from the start at which changes are handed over that come at these.
    fn handed_over(changes: impl IntoIterator<Item = u64>) -> Vec<u128> {
        let start = Instant::now();
        let mut pacer = Pacer::new(Pace::default());
        let mut handed_over = Vec::new();
        let mut pass = |pacer: &mut Pacer, until: Option<Instant>| {
            if let Some(due) = pacer
                .due()
                .filter(|due| until.is_none_or(|until| *due < until))
            {
                pacer.handed_over(due);
                handed_over.push((due - start).as_millis());
            }
        };
        for change in changes {
            let now = start + Duration::from_millis(change);
            pass(&mut pacer, Some(now));
            pacer.changed(now);
        }
        pass(&mut pacer, None);
        handed_over
    }

    #[tokio::test(start_paused = true)]
    async fn a_change_after_quiet_is_handed_over_at_once() {
        assert_eq!(handed_over([0, 100, 1000]), [0, 100, 1000]);
    }

    #[tokio::test(start_paused = true)]
    async fn what_follows_closely_comes_together_a_step_later() {
        assert_eq!(handed_over([0, 5, 6, 19, 100]), [0, 20, 100]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_storm_is_handed_over_in_growing_steps_up_to_the_ceiling() {
        let storm = handed_over(0..3000);
        assert_eq!(storm[..6], [0, 20, 60, 140, 300, 620]);
        assert!(storm.windows(2).all(|pair| pair[1] - pair[0] <= 500));
        assert_eq!(storm.len(), 11, "{storm:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn after_a_storm_the_first_change_is_at_once_again() {
        let storm = (0..3000).chain([5000, 5010]);
        let handed_over = handed_over(storm);
        assert_eq!(handed_over[handed_over.len() - 2..], [5000, 5020]);
    }
}
