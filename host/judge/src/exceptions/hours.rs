//! Hours of the week, as an operator writes them: `mon-fri 22:00-06:00`.

use jiff::Zoned;

const DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];
const MINUTES: u16 = 24 * 60;

/// Some hours of some days. Past midnight they are those of the day on which they began.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hours {
    /// Monday is the lowest bit.
    days: u8,
    /// Minutes since midnight.
    from: u16,
    /// Exclusive; less than `from` is of the next day.
    to: u16,
}

impl Hours {
    /// `mon-fri 08:00-18:00`, `sat,sun`, `22:00-06:00`.
    ///
    /// # Errors
    /// What is wrong, in words.
    pub fn read(text: &str) -> Result<Self, String> {
        let wrong = || {
            format!(
                "`{text}` are no hours; write them like `mon-fri 08:00-18:00`, `sat,sun` or `22:00-06:00`, days in English"
            )
        };
        let mut hours = Hours {
            days: 0b111_1111,
            from: 0,
            to: MINUTES,
        };
        let words: Vec<&str> = text.split_whitespace().collect();
        let (days, times) = match words.as_slice() {
            [only] if only.contains(':') => (None, Some(*only)),
            [only] => (Some(*only), None),
            [days, times] => (Some(*days), Some(*times)),
            _ => return Err(wrong()),
        };
        if let Some(days) = days {
            hours.days = read_days(days).ok_or_else(wrong)?;
        }
        if let Some(times) = times {
            let (from, to) = times.split_once('-').ok_or_else(wrong)?;
            hours.from = minute(from).filter(|from| *from < MINUTES).ok_or_else(wrong)?;
            hours.to = minute(to).ok_or_else(wrong)?;
            if hours.from == hours.to {
                return Err(format!(
                    "`{text}` begins when it ends; leave the hours out for whole days"
                ));
            }
        }
        Ok(hours)
    }

    /// Whether a moment is among them.
    #[must_use]
    pub fn has(&self, local: &Zoned) -> bool {
        let day = u8::try_from(local.weekday().to_monday_zero_offset()).unwrap_or(0);
        let now = u16::try_from(i32::from(local.hour()) * 60 + i32::from(local.minute())).unwrap_or(0);
        let is_on = |day: u8| self.days & (1 << (day % 7)) != 0;
        if self.from < self.to {
            return is_on(day) && (self.from..self.to).contains(&now);
        }
        (is_on(day) && now >= self.from) || (is_on(day + 6) && now < self.to)
    }
}

/// `mon-fri`, `sat,sun`; from Friday to Monday is over the week's end.
fn read_days(text: &str) -> Option<u8> {
    let day = |name: &str| {
        let name = name.trim().to_lowercase();
        DAYS.iter().position(|day| name == *day)
    };
    let mut days = 0;
    for part in text.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last) = (day(first)?, day(last)?);
        let mut at = first;
        loop {
            days |= 1 << at;
            if at == last {
                break;
            }
            at = (at + 1) % 7;
        }
    }
    Some(days)
}

/// `08:30`, `24:00`.
fn minute(text: &str) -> Option<u16> {
    let (hour, minute) = text.split_once(':')?;
    let is_plain = |part: &str| part.len() == 2 && part.bytes().all(|byte| byte.is_ascii_digit());
    if !is_plain(hour) || !is_plain(minute) {
        return None;
    }
    let (hour, minute): (u16, u16) = (hour.parse().ok()?, minute.parse().ok()?);
    let all = hour * 60 + minute;
    (minute < 60 && all <= MINUTES).then_some(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hours_are_those_of_the_day_on_which_they_began() {
        // 2026-11-20 is a Friday.
        let has = |hours: &str, at: &str| {
            let at: Zoned = format!("{at}[Europe/Berlin]").parse().unwrap();
            Hours::read(hours).unwrap().has(&at)
        };
        assert!(has("mon-fri 08:00-18:00", "2026-11-20T08:00"));
        assert!(!has("mon-fri 08:00-18:00", "2026-11-20T18:00"));
        assert!(!has("mon-fri 08:00-18:00", "2026-11-21T09:00"));
        assert!(has("sat,sun", "2026-11-21T23:59") && !has("sat,sun", "2026-11-20T23:59"));
        assert!(has("22:00-06:00", "2026-11-20T23:00") && has("22:00-06:00", "2026-11-20T05:59"));
        assert!(!has("22:00-06:00", "2026-11-20T06:00"));
        assert!(
            has("fri 22:00-06:00", "2026-11-21T05:00"),
            "Friday's night ends on Saturday"
        );
        assert!(!has("fri 22:00-06:00", "2026-11-20T05:00"), "that is Thursday's");
        assert!(has("mon 22:00-06:00", "2026-11-24T01:00") && has("sun 22:00-06:00", "2026-11-23T01:00"));
        assert!(has("fri-mon 18:00-24:00", "2026-11-22T19:00") && !has("fri-mon", "2026-11-25T19:00"));
    }

    #[test]
    fn what_are_no_hours_is_told() {
        for text in [
            "",
            "monday",
            "mon-fri 8-18",
            "25:00-26:00",
            "08:00",
            "mon 08:00-18:00 utc",
            "08:60-09:00",
            "24:00-06:00",
        ] {
            assert!(Hours::read(text).unwrap_err().contains("mon-fri 08:00-18:00"), "{text}");
        }
        assert!(Hours::read("08:00-08:00").unwrap_err().contains("begins when it ends"));
    }
}
