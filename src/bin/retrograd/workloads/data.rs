//! Numbers that every library in the comparison computes alike, bit by bit: splitmix64 by counter.

/// Uniform in [0, 1): the upper 24 bits of every word.
pub fn uniform(seed: u64, count: usize) -> Vec<f32> {
    let base = seed.wrapping_mul(0xD1B5_4A32_D192_ED03);
    let word = |number: u64| {
        let mut z = base.wrapping_add(number.wrapping_mul(0x9E37_79B9_7F4A_7C15));
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    };
    (1..=count as u64).map(|number| (word(number) >> 40) as f32 / 16_777_216.0).collect()
}

/// Uniform in [-bound, bound).
pub fn symmetric(seed: u64, count: usize, bound: f32) -> Vec<f32> {
    uniform(seed, count).into_iter().map(|u| (u * 2.0 - 1.0) * bound).collect()
}

/// Labels in 0 .. classes.
pub fn labels(seed: u64, count: usize, classes: usize) -> Vec<i32> {
    uniform(seed, count).into_iter().map(|u| (u * classes as f32) as i32).collect()
}

/// Three spiral arms of 100 points: coordinates `[300, 2]`, and the arm of each.
pub fn spiral() -> (Vec<f32>, Vec<i32>) {
    let noise = symmetric(7, 300, 0.2);
    let (mut points, mut arms) = (Vec::new(), Vec::new());
    for arm in 0..3 {
        for place in 0..100 {
            let radius = place as f32 / 99.0;
            let angle = arm as f32 * 4.0 + radius * 4.0 + noise[arm * 100 + place];
            points.extend([radius * angle.sin(), radius * angle.cos()]);
            arms.push(arm as i32);
        }
    }
    (points, arms)
}

/// Initial weights, in the order in which parameters are made: uniform within 1 / sqrt(inputs).
pub struct Weights(u64);

impl Weights {
    pub const fn new() -> Self {
        Self(1000)
    }

    /// The weight of a layer as `[outputs, inputs]`; it is drawn as `[inputs, outputs]`.
    pub fn layer(&mut self, inputs: usize, outputs: usize) -> Vec<f32> {
        self.0 += 1;
        let drawn = symmetric(self.0, inputs * outputs, 1.0 / (inputs as f32).sqrt());
        (0..inputs * outputs).map(|place| drawn[place % inputs * outputs + place / inputs]).collect()
    }

    /// Uniform within a bound, as they are drawn.
    pub fn within(&mut self, count: usize, bound: f32) -> Vec<f32> {
        self.0 += 1;
        symmetric(self.0, count, bound)
    }

    /// The weight of a convolution, for so many outputs that depend on so many inputs each.
    pub fn kernel(&mut self, outputs: usize, inputs: usize) -> Vec<f32> {
        self.within(outputs * inputs, 1.0 / (inputs as f32).sqrt())
    }
}
