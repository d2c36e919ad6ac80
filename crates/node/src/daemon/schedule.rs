//! When the alternative limits are in force: spans of the week, such as `mon-fri 08:00-18:00; sat,sun 22:00-02:00`.

use std::str::FromStr;

use chrono::{Datelike as _, Timelike as _};

/// Spans of a schedule at most.
const SPANS_MAX: usize = 32;
const MINUTES_OF_DAY: u16 = 24 * 60;
const DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];

/// Spans of the week, in the time of this machine's clock and place.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Schedule(Vec<Span>);

/// On these days, monday first, from this minute to before that one; one that ends no later than it begins goes
/// on into the next day.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Span {
    days: [bool; 7],
    from: u16,
    to: u16,
}

impl Span {
    fn covers(&self, day: usize, minute: u16) -> bool {
        let on = |day: usize| self.days.get(day % 7).copied().unwrap_or_default();
        if self.from < self.to {
            on(day) && (self.from..self.to).contains(&minute)
        } else {
            (on(day) && minute >= self.from) || (on(day + 6) && minute < self.to)
        }
    }
}

impl Schedule {
    /// Whether there are no spans.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether this moment is in a span.
    pub fn covers_now(&self) -> bool {
        let now = chrono::Local::now();
        let minute = now.hour() * 60 + now.minute();
        self.covers(now.weekday().num_days_from_monday() as usize, u16::try_from(minute).unwrap_or_default())
    }

    /// `day`: 0 is monday. `minute`: of that day.
    fn covers(&self, day: usize, minute: u16) -> bool {
        self.0.iter().any(|span| span.covers(day, minute))
    }
}

impl FromStr for Schedule {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let spans: Result<Vec<Span>, String> =
            text.split(';').map(str::trim).filter(|part| !part.is_empty()).map(span).collect();
        let spans = spans?;
        if spans.len() > SPANS_MAX {
            return Err(format!("has more than {SPANS_MAX} spans"));
        }
        Ok(Self(spans))
    }
}

fn span(text: &str) -> Result<Span, String> {
    let wrong = || "is not a schedule such as `mon-fri 08:00-18:00; sat,sun 00:00-24:00`".to_owned();
    let (days, times) = text.split_once(char::is_whitespace).ok_or_else(wrong)?;
    let (from, to) = times.trim().split_once('-').ok_or_else(wrong)?;
    let (from, to) = (minute(from).ok_or_else(wrong)?, minute(to).ok_or_else(wrong)?);
    Ok(Span { days: days_of(days).ok_or_else(wrong)?, from: from % MINUTES_OF_DAY, to })
}

fn days_of(text: &str) -> Option<[bool; 7]> {
    let text = text.to_ascii_lowercase();
    if text == "daily" {
        return Some([true; 7]);
    }
    let number = |name: &str| DAYS.iter().position(|day| *day == name.trim());
    let mut days = [false; 7];
    for part in text.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last) = (number(first)?, number(last)?);
        // `sat-mon` goes over the end of the week.
        let count = (last + 7 - first) % 7;
        for day in 0..=count {
            if let Some(on) = days.get_mut((first + day) % 7) {
                *on = true;
            }
        }
    }
    Some(days)
}

/// `08:00`; `24:00` is the end of a day.
fn minute(text: &str) -> Option<u16> {
    let (hours, minutes) = text.trim().split_once(':')?;
    let two =
        |text: &str| text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse::<u16>().ok())?;
    let (hours, minutes) = (two(hours)?, two(minutes)?);
    let whole = hours.checked_mul(60)?.checked_add(minutes)?;
    (minutes < 60 && whole <= MINUTES_OF_DAY).then_some(whole)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn covers(text: &str, day: usize, time: &str) -> bool {
        Schedule::from_str(text).unwrap().covers(day, minute(time).unwrap())
    }

    #[test]
    fn spans_begin_and_end_when_they_say() {
        let work = "mon-fri 08:00-18:00; sat 10:00-12:30";
        for (day, time, is) in [
            (0, "07:59", false),
            (0, "08:00", true),
            (4, "17:59", true),
            (4, "18:00", false),
            (5, "12:29", true),
            (5, "12:30", false),
            (6, "11:00", false),
        ] {
            assert_eq!(covers(work, day, time), is, "day {day}, {time}");
        }
        assert!(covers("daily 00:00-24:00", 3, "23:59") && covers("daily 00:00-24:00", 3, "00:00"));
        assert!(!covers("", 3, "12:00") && Schedule::from_str(" ; ").unwrap().is_empty());
    }

    #[test]
    fn nights_belong_to_the_day_on_which_they_begin() {
        let night = "fri 22:00-06:00";
        assert!(covers(night, 4, "22:00") && covers(night, 5, "05:59"));
        assert!(!covers(night, 4, "05:00") && !covers(night, 5, "06:00") && !covers(night, 5, "23:00"));
        assert!(covers("sun 22:00-06:00", 0, "01:00"), "over the end of the week");
        assert!(covers("sat-mon 00:00-24:00", 6, "12:00") && !covers("sat-mon 00:00-24:00", 1, "12:00"));
    }

    #[test]
    fn what_is_no_schedule_is_refused() {
        for text in [
            "mon",
            "mon 8-18",
            "mon 08:00",
            "mon 25:00-26:00",
            "mon 08:60-09:00",
            "noday 08:00-09:00",
            "mon 24:01-05:00",
            "mon- 08:00-09:00",
            "mon +8:00-09:00",
            "mon 08:00-09:00, tue",
        ] {
            assert!(Schedule::from_str(text).is_err(), "{text}");
        }
        let many = "daily 00:00-01:00;".repeat(SPANS_MAX + 1);
        assert!(Schedule::from_str(&many).is_err());
    }
}
