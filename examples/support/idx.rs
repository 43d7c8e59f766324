//! Images of digits in the format of MNIST, in the form that the examples share.

use super::{Images, Outcome};
use retrograd::HostData;
use retrograd::data::{Dataset, idx};
use std::path::Path;

/// Training and test images of a folder: its `train` and `t10k` files; or, where it has the latter alone, nine tenths and
/// one tenth of those, drawn by the seed.
pub fn training_and_test(folder: &Path, seed: u64) -> Outcome<(Images, Images)> {
    let test = images(folder, "t10k")?;
    let names = ["train-images-idx3-ubyte", "train-images-idx3-ubyte.gz"];
    if !names.iter().any(|name| folder.join(name).is_file()) {
        return Ok(test.split(0.9, seed));
    }
    let training = images(folder, "train")?;
    if training.extents != test.extents {
        let (of_training, of_test) = (training.extents, test.extents);
        return Err(format!(
            "{}: the images for training are {of_training:?} and those for testing {of_test:?}",
            folder.display()
        )
        .into());
    }
    Ok((training, test))
}

/// One set of images, `train` or `t10k`, with their labels; pixels from 0 to 1.
pub fn images(folder: &Path, set: &str) -> Outcome<Images> {
    let all = idx::images_and_labels(folder, set)?.all()?;
    let (pixels, labels) = (all.get("image")?, all.get("label")?);
    let [_, height, width] = pixels.shape()[..] else { return Err(format!("{set}: these are no images").into()) };
    let (HostData::F32(pixels), HostData::I32(labels)) = (pixels.data().clone(), labels.data().clone()) else {
        return Err(format!("{set}: pixels are floats, and labels integers").into());
    };
    if let Some(place) = labels.iter().position(|&label| label > 9) {
        let folder = folder.display();
        return Err(
            format!("{folder}: label {place} of {set}-labels is {}, and digits are 0 to 9", labels[place]).into()
        );
    }
    Ok(Images { width: height * width, extents: [height, width], pixels, labels })
}
