//! A moment of time and its text, worked out once a poll rather than once a record.

/// A moment, in UTC.
#[derive(Debug)]
pub(crate) struct Moment {
    millis: i64,
    iso_8601: String,
}

const DAY_MILLIS: i64 = 86_400_000;

impl Moment {
    /// Milliseconds since the epoch.
    pub(crate) fn at(millis: i64) -> Self {
        let (year, month, day) = civil(millis.div_euclid(DAY_MILLIS));
        let in_day = millis.rem_euclid(DAY_MILLIS);
        let (hour, minute) = (in_day / 3_600_000, in_day / 60_000 % 60);
        let (second, milli) = (in_day / 1000 % 60, in_day % 1000);
        let iso_8601 = format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{milli:03}Z");
        Self { millis, iso_8601 }
    }

    pub(crate) fn millis(&self) -> i64 {
        self.millis
    }

    pub(crate) fn iso_8601(&self) -> &str {
        &self.iso_8601
    }
}

/// Year, month and day of a number of days since 1970-01-01, in the Gregorian calendar. Years are counted from March, so
/// that the leap day is their last.
fn civil(days: i64) -> (i64, i64, i64) {
    const ERA_DAYS: i64 = 146_097; // 400 years
    let days = days + 719_468; // from 0000-03-01
    let (era, day_of_era) = (days.div_euclid(ERA_DAYS), days.rem_euclid(ERA_DAYS));
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    (era * 400 + year_of_era + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_moments() {
        for (millis, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (-1, "1969-12-31T23:59:59.999Z"),
            (951_782_400_000, "2000-02-29T00:00:00.000Z"),
            (1_709_251_199_123, "2024-02-29T23:59:59.123Z"),
            (4_107_542_400_000, "2100-03-01T00:00:00.000Z"),
        ] {
            assert_eq!(Moment::at(millis).iso_8601(), text);
        }
    }
}
