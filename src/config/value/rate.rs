//! How a rate is written: `50/s burst 600`.

use std::time::Duration;

use hearth_services::rate::Rate;

use super::{Raw, Setting, unexpected};

/// The periods that a rate can have.
const PERIODS: [(&str, Duration); 4] = [
    ("s", Duration::from_secs(1)),
    ("m", Duration::from_mins(1)),
    ("h", Duration::from_hours(1)),
    ("d", Duration::from_hours(24)),
];

const UNLIMITED: &str = "unlimited";

impl Setting for Rate {
    const EXPECTED: &'static str = "a rate such as 50/s burst 600 or 20/m burst 5, or unlimited";

    fn read(raw: &Raw) -> Result<Self, String> {
        let rate = match raw {
            Raw::Loose(text) | Raw::Text(text) => parse(text),
            _ => None,
        };
        rate.ok_or_else(|| unexpected::<Self>(raw))
    }

    fn show(&self) -> String {
        let period = PERIODS.iter().find(|(_, period)| *period == self.per);
        period.map_or_else(
            || UNLIMITED.to_owned(),
            |(unit, _)| format!("{}/{unit} burst {}", self.count, self.burst),
        )
    }
}

fn parse(text: &str) -> Option<Rate> {
    if text.trim() == UNLIMITED {
        return Some(Rate::UNLIMITED);
    }
    let (pace, burst) = text.split_once("burst")?;
    let (count, unit) = pace.split_once('/')?;
    let (count, burst) = (positive(count)?, positive(burst)?);
    let (_, per) = PERIODS.into_iter().find(|(name, _)| *name == unit.trim())?;
    Some(Rate { count, per, burst })
}

fn positive(text: &str) -> Option<u32> {
    text.trim().parse().ok().filter(|number| *number > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Rate, String> {
        Rate::read(&Raw::Loose(text.to_owned()))
    }

    #[test]
    fn a_rate_is_how_many_in_which_time_and_how_many_at_once() {
        let rate = read("20/m burst 5").unwrap();
        assert_eq!(rate, Rate { count: 20, per: Duration::from_mins(1), burst: 5 });
        for text in ["50/s burst 600", "1/h burst 1", "3/d burst 10", "unlimited"] {
            assert_eq!(read(text).unwrap().show(), text);
        }
        for text in ["", "5", "5/s", "0/s burst 1", "1/s burst 0", "1/y burst 1", "-1/s burst 1", "burst 5"] {
            assert!(read(text).is_err(), "{text}");
        }
        assert!(Rate::read(&Raw::Integer(5)).is_err());
    }
}
