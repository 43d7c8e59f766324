/// One block of the counter-based generator Threefry-2x32 with 20 rounds: the same key and
/// counter give the same two words on every device, in any order of evaluation.
///
/// Source: Salmon, Moraes, Dror, Shaw, "Parallel random numbers: as easy as 1, 2, 3" (2011).
/// `shaders/lib/random.wgsl` is its twin.
#[must_use]
pub fn threefry(key: [u32; 2], counter: [u32; 2]) -> [u32; 2] {
    const ROTATIONS: [[u32; 4]; 2] = [[13, 15, 26, 6], [17, 29, 16, 24]];
    let schedule = [key[0], key[1], 0x1BD1_1BDA ^ key[0] ^ key[1]];
    let mut x = [counter[0].wrapping_add(schedule[0]), counter[1].wrapping_add(schedule[1])];
    for group in 0..5u32 {
        for rotation in ROTATIONS[group as usize % 2] {
            x[0] = x[0].wrapping_add(x[1]);
            x[1] = x[1].rotate_left(rotation) ^ x[0];
        }
        x[0] = x[0].wrapping_add(schedule[(group as usize + 1) % 3]);
        x[1] = x[1].wrapping_add(schedule[(group as usize + 2) % 3]).wrapping_add(group + 1);
    }
    x
}

/// A word as a number in [0, 1): its upper 24 bits, so that single precision holds it exactly.
#[must_use]
pub fn unit_interval(word: u32) -> f64 {
    f64::from(word >> 8) / f64::from(1u32 << 24)
}

/// A stream of random numbers on the host, for initial parameters, shuffles and test data.
///
/// ```
/// let mut generator = retrograd::Generator::new(42);
/// let x = generator.uniform(-1.0, 1.0);
/// assert!((-1.0..1.0).contains(&x));
/// ```
#[derive(Clone, Debug)]
pub struct Generator {
    key: [u32; 2],
    counter: u64,
}

/// A number of a text, or of any bytes, by FNV-1a, 64 bits: fixed for ever, unlike that of the standard library's hasher.
#[must_use]
pub fn fingerprint(bytes: impl AsRef<[u8]>) -> u64 {
    let add = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01B3);
    bytes.as_ref().iter().fold(0xCBF2_9CE4_8422_2325, add)
}

impl Generator {
    /// The stream that belongs to this seed.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self { key: [seed as u32, (seed >> 32) as u32], counter: 0 }
    }

    /// The stream that belongs to this seed and name: parameters that are added or reordered do
    /// not change each other's values.
    #[must_use]
    pub fn named(seed: u64, name: &str) -> Self {
        let hash = fingerprint(name);
        let key = threefry([seed as u32, (seed >> 32) as u32], [hash as u32, (hash >> 32) as u32]);
        Self { key, counter: 0 }
    }

    fn word_pair(&mut self) -> [u32; 2] {
        let counter = self.counter;
        self.counter += 1;
        threefry(self.key, [counter as u32, (counter >> 32) as u32])
    }

    /// A number in [low, high).
    pub fn uniform(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * unit_interval(self.word_pair()[0])
    }

    /// A number from the normal distribution, by the method of Box and Muller (1958).
    pub fn normal(&mut self, mean: f64, deviation: f64) -> f64 {
        let [a, b] = self.word_pair();
        // 1 - u lies in (0, 1]: its logarithm is finite.
        let radius = (-2.0 * (1.0 - unit_interval(a)).ln()).sqrt();
        mean + deviation * radius * (std::f64::consts::TAU * unit_interval(b)).cos()
    }

    /// A number in 0..bound. The bias of the method is below 2^-32.
    pub fn below(&mut self, bound: usize) -> usize {
        let [a, b] = self.word_pair();
        let word = u128::from(a) << 32 | u128::from(b);
        ((word * bound as u128) >> 64) as usize
    }

    /// Shuffles in place, by the method of Fisher and Yates.
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            items.swap(last, self.below(last + 1));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The known answers that the authors publish with their library Random123.
    #[test]
    fn threefry_gives_the_published_answers() {
        assert_eq!(threefry([0, 0], [0, 0]), [0x6b20_0159, 0x99ba_4efe]);
        assert_eq!(threefry([u32::MAX; 2], [u32::MAX; 2]), [0x1cb9_96fc, 0xbb00_2be7]);
        assert_eq!(threefry([0x1319_8a2e, 0x0370_7344], [0x243f_6a88, 0x85a3_08d3]), [0xc492_3a9c, 0x483d_f7a0]);
    }

    #[test]
    fn moments_are_those_of_the_distributions() {
        let mut generator = Generator::new(7);
        let n = 20_000;
        let normal: Vec<f64> = (0..n).map(|_| generator.normal(1.0, 2.0)).collect();
        let mean = normal.iter().sum::<f64>() / f64::from(n);
        let variance = normal.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / f64::from(n);
        assert!((mean - 1.0).abs() < 0.06, "{mean}");
        assert!((variance - 4.0).abs() < 0.16, "{variance}");
        let mut items: Vec<usize> = (0..100).collect();
        generator.shuffle(&mut items);
        assert_ne!(items, (0..100).collect::<Vec<_>>());
        items.sort_unstable();
        assert_eq!(items, (0..100).collect::<Vec<_>>());
    }
}
