//! A trouble that comes again and again, said when it changes and then ever more seldom.

/// What was met last, and how often.
#[derive(Debug, Default)]
pub(crate) struct Repeated {
    last: Option<String>,
    count: u64,
}

impl Repeated {
    /// What to say of what was met now (none: all was well): a new trouble at once, the same one at the 2nd, 4th, 8th time and
    /// so on, and once that it is over.
    pub(crate) fn worth_saying(&mut self, met: Option<String>) -> Option<String> {
        let Some(met) = met else {
            let over = self.last.take()?;
            let count = std::mem::take(&mut self.count);
            return Some(format!("over (met {count} x): {over}"));
        };
        if self.last.as_ref() != Some(&met) {
            self.last = Some(met.clone());
            self.count = 1;
            return Some(met);
        }
        self.count += 1;
        self.count
            .is_power_of_two()
            .then(|| format!("{met} ({} x)", self.count))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_trouble_is_said_ever_more_seldom_and_its_end_once() {
        let mut repeated = Repeated::default();
        let said: Vec<Option<String>> = (0..9).map(|_| repeated.worth_saying(Some("full".to_owned()))).collect();
        let at: Vec<usize> = (1..=9).filter(|time| said[time - 1].is_some()).collect();
        assert_eq!(at, [1, 2, 4, 8]);
        assert!(repeated.worth_saying(Some("gone".to_owned())).is_some());
        assert_eq!(repeated.worth_saying(None).unwrap(), "over (met 1 x): gone");
        assert_eq!(repeated.worth_saying(None), None);
    }
}
