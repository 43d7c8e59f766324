//! Images changed at random on the device, each of a batch in its own way and anew every step: mirrored, shifted, rotated.
//!
//! All are said with other ops, so that gradients pass through them as through any other (those with respect to images are seldom
//! wanted, and cost nothing where nothing asks for them). Random numbers are those of [`Graph::uniform`](crate::Graph::uniform).

use crate::base::{HostTensor, Shape};
use crate::record::{Case, CaseInput, Tensor};

/// Places beyond this are not told apart in single precision.
const MOST_PLACES: usize = 1 << 24;

/// Images as `[samples, others, height * width]`, with a border of zeros one element wide around each.
struct Bordered<'g> {
    images: Tensor<'g>,
    shape: Shape,
    samples: usize,
    others: usize,
    height: usize,
    width: usize,
}

impl<'g> Bordered<'g> {
    /// The reason as text when the shape is not that of a batch of images.
    fn of(images: Tensor<'g>) -> Result<Self, String> {
        let shape = images.shape();
        let (3.., &[ref outer @ .., height, width]) = (shape.rank(), &shape[..]) else {
            return Err(format!("it needs images `[samples, .., height, width]`, and has {shape}"));
        };
        if (height + 2).saturating_mul(width + 2) > MOST_PLACES {
            return Err(format!("images of {height} x {width} have more places than single precision tells apart"));
        }
        let (samples, others) = (outer[0], outer[1..].iter().product());
        let flat = images.reshape([samples, others, height, width]);
        let padded = flat.pad(&[(0, 0), (0, 0), (1, 1), (1, 1)]);
        let images = padded.reshape([samples, others, (height + 2) * (width + 2)]);
        Ok(Self { images, shape: shape.clone(), samples, others, height, width })
    }

    /// The row (axis 0) or column (axis 1) of every place, counted from `origin`, as `[1, height * width]`.
    fn grid(&self, axis: usize, origin: f64) -> Tensor<'g> {
        let (height, width) = (self.height, self.width);
        let place = |place: usize| ([place / width, place % width][axis] as f64 - origin) as f32;
        let elements: Vec<f32> = (0..height * width).map(place).collect();
        let grid = HostTensor::from(elements);
        self.images.graph().constant(grid).reshape([1, height * width])
    }

    /// The elements at whole rows and columns, `[samples, height * width]`, that count from the border's.
    #[track_caller]
    fn at(&self, row: Tensor<'g>, column: Tensor<'g>) -> Tensor<'g> {
        let places = self.height * self.width;
        let index = (row * (self.width + 2) as f64 + column).to_i32();
        let index = index.reshape([self.samples, 1, places]).broadcast_to([self.samples, self.others, places]);
        self.images.gather(2, index)
    }

    #[track_caller]
    fn whole(&self, images: Tensor<'g>) -> Tensor<'g> {
        images.reshape(self.shape.to_vec())
    }
}

/// The greatest whole number that is not above x, of numbers that are not negative.
#[track_caller]
fn floor(x: Tensor<'_>) -> Tensor<'_> {
    x.to_i32().to_f32()
}

impl Tensor<'_> {
    /// Every sample of a batch `[samples, ..]` mirrored along an axis with this probability, drawn anew for each and every step.
    /// A graph begun by [`Graph::evaluation`](crate::Graph::evaluation) leaves the samples as they are.
    #[must_use]
    #[track_caller]
    pub fn random_flip(self, axis: isize, probability: f64) -> Self {
        let _here = self.graph.here();
        let shape = self.shape();
        if !(0.0..=1.0).contains(&probability) {
            let reason = format!("the probability must be from 0 to 1, and is {probability}");
            return self.graph.fault("random_flip", &[self], reason);
        }
        match shape.axis(axis) {
            Ok(1..) => {}
            Ok(_) => return self.graph.fault("random_flip", &[self], "axis 0 is that of the samples"),
            Err(reason) => return self.graph.fault("random_flip", &[self], reason),
        }
        if !self.graph.is_training() {
            return self;
        }
        let mut each = vec![1; shape.rank()];
        each[0] = shape[0];
        let mirrored = self.graph.uniform(each).lt(self.graph.scalar(probability));
        mirrored.broadcast_to(shape.to_vec()).where_cond(self.flip(axis), self)
    }

    /// Images `[samples, .., height, width]`, each shifted by a whole number of rows from `-most[0]` to `most[0]` and of columns from
    /// `-most[1]` to `most[1]`, all equally likely, drawn anew for each and every step: y[.., r, c] = x[.., r - down, c - right], and 0
    /// where that is outside. A graph begun by [`Graph::evaluation`](crate::Graph::evaluation) leaves the images as they are.
    #[must_use]
    #[track_caller]
    pub fn random_shift(self, most: [usize; 2]) -> Self {
        let _here = self.graph.here();
        let shape = self.shape();
        let bordered = match Bordered::of(self) {
            Ok(bordered) if most[0] <= bordered.height && most[1] <= bordered.width => bordered,
            Ok(_) => {
                let reason =
                    format!("images of shape {shape} cannot be shifted by {most:?}, which is more than they have");
                return self.graph.fault("random_shift", &[self], reason);
            }
            Err(reason) => return self.graph.fault("random_shift", &[self], reason),
        };
        if !self.graph.is_training() {
            return self;
        }
        let from = |axis: usize, extent: usize| {
            let range = 2 * most[axis] + 1;
            let shift = floor(self.graph.uniform([bordered.samples, 1]) * range as f64);
            // From the border's row on, which is row -1.
            let place = bordered.grid(axis, -1.0 - most[axis] as f64) - shift;
            place.clamp(0.0, (extent + 1) as f64)
        };
        let (row, column) = (from(0, bordered.height), from(1, bordered.width));
        bordered.whole(bordered.at(row, column))
    }

    /// Images `[samples, .., height, width]`, each rotated about its centre by an angle from `-most` to `most` degrees, all equally likely, drawn
    /// anew for each and every step. A place takes its value by straight lines between the four elements around where it comes from (bilinear),
    /// with 0 outside of the image. A graph begun by [`Graph::evaluation`](crate::Graph::evaluation) leaves the images as they are.
    #[must_use]
    #[track_caller]
    pub fn random_rotate(self, most: f64) -> Self {
        let _here = self.graph.here();
        let bordered = match Bordered::of(self) {
            Ok(_) if !(0.0..=180.0).contains(&most) => {
                let reason = format!("the greatest angle must be from 0 to 180 degrees, and is {most}");
                return self.graph.fault("random_rotate", &[self], reason);
            }
            Ok(bordered) => bordered,
            Err(reason) => return self.graph.fault("random_rotate", &[self], reason),
        };
        if !self.graph.is_training() {
            return self;
        }
        let angle = (self.graph.uniform([bordered.samples, 1]) * 2.0 - 1.0) * most.to_radians();
        let (sine, cosine) = (angle.sin(), angle.cos());
        let (height, width) = (bordered.height as f64, bordered.width as f64);
        let (middle, centre) = ((height - 1.0) / 2.0, (width - 1.0) / 2.0);
        let (down, right) = (bordered.grid(0, middle), bordered.grid(1, centre));
        // Where a place comes from: rotated back, counted from the border.
        let row = (down * cosine - right * sine + (middle + 1.0)).clamp(0.0, height + 1.0);
        let column = (down * sine + right * cosine + (centre + 1.0)).clamp(0.0, width + 1.0);
        // The last pair of neighbours also serves what is exactly at the end.
        let (above, before) = (floor(row).clamp(0.0, height), floor(column).clamp(0.0, width));
        let each = [bordered.samples, 1, bordered.height * bordered.width];
        let (lower, later) = ((row - above).reshape(each), (column - before).reshape(each));
        let upper = bordered.at(above, before) * (1.0 - later) + bordered.at(above, before + 1.0) * later;
        let under = bordered.at(above + 1.0, before) * (1.0 - later) + bordered.at(above + 1.0, before + 1.0) * later;
        bordered.whole(upper * (1.0 - lower) + under * lower)
    }
}

pub(super) fn cases() -> Vec<Case> {
    let images = |shape: [usize; 4]| vec![CaseInput::uniform(shape, -1.0, 1.0)];
    vec![
        Case::new("mirrored", images([9, 2, 3, 4]), |x| x[0].random_flip(-1, 0.5).sin()),
        Case::new("mirrored samples of one axis", vec![CaseInput::uniform([65, 3], -1.0, 1.0)], |x| {
            x[0].random_flip(1, 0.3).sin()
        }),
        Case::new("shifted", images([5, 2, 4, 5]), |x| x[0].random_shift([2, 1]).sin()),
        Case::new("shifted beyond all", images([9, 1, 2, 3]), |x| x[0].random_shift([2, 3]).sin()),
        Case::new("rotated", images([5, 2, 4, 5]), |x| x[0].random_rotate(30.0).sin()),
        Case::new("rotated all the way", images([3, 1, 7, 3]), |x| x[0].random_rotate(180.0).sin()),
    ]
}
