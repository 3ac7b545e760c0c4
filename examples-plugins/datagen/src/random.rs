//! Chance that can be repeated: the numbers of a record come from the seed, the task and its sequence number alone.

/// A generator of the SplitMix64 family, one for each record.
#[derive(Clone, Debug)]
pub(crate) struct Random(u64);

/// The odd constant of the golden ratio, the step of SplitMix64.
const STEP: u64 = 0x9E37_79B9_7F4A_7C15;

impl Random {
    pub(crate) fn new(seed: u64, task: u32, seq: u64) -> Self {
        // Mixed one after the other, so that neighbouring sequence numbers start far apart.
        Self(mix(mix(mix(seed) ^ u64::from(task)) ^ seq))
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(STEP);
        mix(self.0)
    }

    /// A number from `min` to `max`, both included.
    pub(crate) fn int(&mut self, min: i64, max: i64) -> i64 {
        let span = max.abs_diff(min).wrapping_add(1);
        let drawn = self.next();
        if span == 0 {
            return drawn.cast_signed(); // every i64 there is
        }
        min.wrapping_add_unsigned(self.below(drawn, span))
    }

    /// A number from `min` up to `max`.
    pub(crate) fn float(&mut self, min: f64, max: f64) -> f64 {
        #[allow(clippy::cast_precision_loss)] // 53 bits fit a float
        let unit = (self.next() >> 11) as f64 / (1_u64 << 53) as f64;
        min + unit * (max - min)
    }

    /// An index below `len`, which is not 0.
    pub(crate) fn index(&mut self, len: usize) -> usize {
        let drawn = self.next();
        usize::try_from(self.below(drawn, len as u64)).unwrap_or(0)
    }

    /// Scales by multiplication: no division, and a bias of at most `span` in 2^64.
    fn below(&self, drawn: u64, span: u64) -> u64 {
        #[allow(clippy::cast_possible_truncation)] // the high half of a product of two u64
        let high = ((u128::from(drawn) * u128::from(span)) >> 64) as u64;
        high
    }
}

fn mix(mut z: u64) -> u64 {
    z = z.wrapping_add(STEP);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_place_gives_the_same_numbers() {
        let draw = |seed, task, seq| Random::new(seed, task, seq).next();
        assert_eq!(draw(1, 0, 5), draw(1, 0, 5));
        assert_ne!(draw(1, 0, 5), draw(1, 0, 6));
        assert_ne!(draw(1, 0, 5), draw(1, 1, 5));
        assert_ne!(draw(1, 0, 5), draw(2, 0, 5));
    }

    #[test]
    fn numbers_keep_their_bounds_and_reach_them() {
        let mut seen = [false; 3];
        for seq in 0..200 {
            let n = Random::new(7, 0, seq).int(-1, 1);
            seen[usize::try_from(n + 1).unwrap()] = true;
            let x = Random::new(7, 0, seq).float(2.0, 3.0);
            assert!((2.0..3.0).contains(&x));
            assert!(Random::new(7, 0, seq).index(4) < 4);
        }
        assert_eq!(seen, [true; 3]);
        assert_eq!(Random::new(0, 0, 0).int(5, 5), 5);
        Random::new(0, 0, 0).int(i64::MIN, i64::MAX);
    }
}
