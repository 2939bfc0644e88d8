//! Times as people write and read them.

use ucan_core::Timestamp;

const DAY: u64 = 24 * 60 * 60;

/// Reads `30d`, `12h`, `90m`, `45s` or `2w` as so long after `now`, or a date and time as RFC 3339 has it.
pub(super) fn parse(text: &str, now: Timestamp) -> Result<Timestamp, String> {
    later(text, now).or_else(|| Timestamp::parse_rfc3339(text).map(Ok)).unwrap_or_else(|| {
        Err(format!(
            "{text:?} is not a time; write a period (30d, 12h, 90m), or a date and time like 2027-01-31T12:00:00Z"
        ))
    })
}

/// Reads a period as so long after `now`, and nothing else.
pub(super) fn after(text: &str, now: Timestamp) -> Result<Timestamp, String> {
    later(text, now).unwrap_or_else(|| Err(format!("{text:?} is not a period; write 45s, 90m, 12h, 30d or 2w")))
}

/// Reads a date and a time, and nothing else.
pub(super) fn at(text: &str) -> Result<Timestamp, String> {
    let at = Timestamp::parse_rfc3339(text);
    at.ok_or_else(|| format!("{text:?} is not a date and time like 2027-01-31T12:00:00Z"))
}

/// So long after `now`; `None` where the text is no period.
fn later(text: &str, now: Timestamp) -> Option<Result<Timestamp, String>> {
    let unit = |letter| match letter {
        's' => Some(1),
        'm' => Some(60),
        'h' => Some(60 * 60),
        'd' => Some(DAY),
        'w' => Some(7 * DAY),
        _ => None,
    };
    let period = text.char_indices().next_back().and_then(|(at, letter)| Some((text.get(..at)?, unit(letter)?)));
    let period = period.filter(|(digits, _)| !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()));
    let (digits, unit) = period?;
    let secs = digits.parse::<u64>().ok().and_then(|count| count.checked_mul(unit));
    let moment = secs.and_then(|secs| now.as_secs().checked_add(secs)).and_then(Timestamp::from_secs);
    Some(moment.ok_or_else(|| format!("{text} is longer than a token can say; `never` is for ever")))
}

/// A moment as RFC 3339 has it, in UTC.
pub(super) fn date(moment: Timestamp) -> String {
    let (days, second) = (moment.as_secs() / DAY, moment.as_secs() % DAY);
    let (year, month, day) = civil(days);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

/// Year, month and day of a number of days since 1970, counted in eras of 400 years that begin in March.
fn civil(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (year + era * 400 + u64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(secs: u64) -> Timestamp {
        Timestamp::from_secs(secs).unwrap()
    }

    #[test]
    fn dates_go_both_ways() {
        for (secs, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_399, "2000-02-28T23:59:59Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (951_868_800, "2000-03-01T00:00:00Z"),
            (1_767_225_600, "2026-01-01T00:00:00Z"),
            (4_107_542_400, "2100-03-01T00:00:00Z"),
            (253_402_300_799, "9999-12-31T23:59:59Z"),
        ] {
            assert_eq!(date(at(secs)), text);
            assert_eq!(parse(text, Timestamp::EPOCH), Ok(at(secs)), "{text}");
            assert_eq!(super::at(text), Ok(at(secs)), "{text}");
            assert!(after(text, Timestamp::EPOCH).is_err(), "{text}");
        }
        // Beyond what RFC 3339 can say, and still no reason to panic.
        assert_eq!(date(Timestamp::MAX), "285428751-11-12T07:36:31Z");
        let noon = Ok(at(1_767_225_600 + DAY / 2));
        for text in ["2026-01-01T13:30:00+01:30", "2026-01-01t11:00:00.999-01:00", "2026-01-01 12:00:00z"] {
            assert_eq!(parse(text, Timestamp::EPOCH), noon, "{text}");
        }
    }

    #[test]
    fn periods_start_now() {
        for (text, secs) in
            [("0s", 0), ("45s", 45), ("90m", 5400), ("12h", 43_200), ("30d", 30 * DAY), ("2w", 14 * DAY)]
        {
            assert_eq!(parse(text, at(1000)), Ok(at(1000 + secs)));
            assert_eq!(after(text, at(1000)), Ok(at(1000 + secs)));
            assert!(super::at(text).is_err());
        }
        for text in [
            "",
            "d",
            "30",
            "30 d",
            "-1d",
            "1.5d",
            "30D",
            "1y",
            "99999999999999999999d",
            "9999999999999999s",
            "2026-01-01",
            "2026-02-29T00:00:00Z",
            "2026-13-01T00:00:00Z",
            "2026-01-01T24:00:00Z",
            "2026-01-01T00:00:00",
            "2026-01-01T00:00:00.Z",
            "2026-01-01T00:00:00+1:00",
            "2026-01-01T00:00:00+-1:00",
            "2026-01-01T00:00:00++1:+5",
            "2026-01-01T00:00:00-01:+5",
            "1969-12-31T00:00:00Z",
            "1970-01-01T00:00:00+00:01",
            "\u{e4}\u{e4}",
            "2026-01-01T00:00:00+\u{e4}\u{e4}:0",
        ] {
            assert!(parse(text, at(1000)).is_err(), "{text}");
        }
    }
}
