//! What images look like after they were changed on the device.

use retrograd::{Device, Graph, HostTensor, Params, Tensor};

const SHAPE: [usize; 4] = [16, 2, 3, 4];

/// Images whose elements all differ, none of them 0; and what becomes of them in each of so many steps.
fn changed(g: &Graph, steps: usize, change: impl for<'g> Fn(Tensor<'g>) -> Tensor<'g>) -> (Vec<f32>, Vec<Vec<f32>>) {
    let images: Vec<f32> = (1..=SHAPE.iter().product::<usize>()).map(|x| x as f32).collect();
    let x = g.input("x", SHAPE);
    let y = change(x).keep();
    let mut step = g.infer(&[y]).compile(&Device::cpu(), &Params::seeded(3)).unwrap();
    let data = HostTensor::from(images.clone());
    let of_step = |_| {
        step.run([x.feed(&data.to_vec())]).unwrap();
        step.read(y).unwrap().to_vec()
    };
    let results = (0..steps).map(of_step).collect();
    (images, results)
}

/// One channel moved down and to the right, with 0 where nothing comes from.
fn moved(channel: &[f32], down: isize, right: isize) -> Vec<f32> {
    let (height, width) = (SHAPE[2] as isize, SHAPE[3] as isize);
    let inside = |row: isize, column: isize| (0..height).contains(&row) && (0..width).contains(&column);
    let places = (0..height).flat_map(|row| (0..width).map(move |column| (row - down, column - right)));
    places
        .map(|(row, column)| if inside(row, column) { channel[(row * width + column) as usize] } else { 0.0 })
        .collect()
}

#[test]
fn a_shift_moves_every_channel_of_a_sample_alike_and_samples_differently() {
    let (images, results) = changed(&Graph::new(), 1, |x| x.random_shift([1, 2]));
    let mut seen = std::collections::BTreeSet::new();
    for (before, after) in images.chunks(24).zip(results[0].chunks(24)) {
        let shifts = (-1..=1).flat_map(|down| (-2..=2).map(move |right| (down, right)));
        let fits = |&(down, right): &(isize, isize)| {
            before.chunks(12).zip(after.chunks(12)).all(|(before, after)| moved(before, down, right) == after)
        };
        seen.insert(shifts.into_iter().find(fits).expect("it is one of the shifts"));
    }
    assert!(seen.len() > 5, "{seen:?}");
}

#[test]
fn a_flip_mirrors_about_as_many_samples_as_it_says() {
    let (images, results) = changed(&Graph::new(), 1, |x| x.random_flip(-1, 0.5));
    let mut mirrored = 0;
    for (before, after) in images.chunks(24).zip(results[0].chunks(24)) {
        let flipped: Vec<f32> = before.chunks(4).flat_map(|row| row.iter().rev().copied()).collect();
        assert!(after == before || after == flipped, "{before:?} {after:?}");
        mirrored += usize::from(after == flipped);
    }
    assert!((3..=13).contains(&mirrored), "{mirrored} of 16");
    assert_eq!(changed(&Graph::new(), 1, |x| x.random_flip(2, 0.0)).1[0], images);
}

#[test]
fn a_rotation_by_nothing_changes_nothing_and_others_turn_about_the_centre() {
    let (images, results) = changed(&Graph::new(), 1, |x| x.random_rotate(0.0));
    assert_eq!(results[0], images);

    // Planes, which straight lines between elements keep as they are: turned, they still rise by 1, in the direction of the angle.
    let g = Graph::new();
    let x = g.input("x", [8, 2, 9, 9]);
    let y = x.random_rotate(60.0).keep();
    let mut step = g.infer(&[y]).compile(&Device::cpu(), &Params::seeded(3)).unwrap();
    let (across, along) =
        ((0..81).map(|place| (place % 9) as f32 - 4.0), (0..81).map(|place| (place / 9) as f32 - 4.0));
    let planes: Vec<f32> = across.chain(along).cycle().take(8 * 2 * 81).collect();
    step.run([x.feed(&planes)]).unwrap();
    let mut angles = Vec::new();
    for image in step.read(y).unwrap().to_vec().chunks(2 * 81) {
        let at =
            |channel: isize, down: isize, right: isize| image[(channel * 81 + (down + 4) * 9 + right + 4) as usize];
        let (sine, cosine) = (at(0, 1, 0), at(0, 0, 1));
        assert!((sine.hypot(cosine) - 1.0).abs() < 1e-5 && cosine >= 0.499, "{sine} {cosine}");
        for (down, right) in (-2..=2).flat_map(|down| (-2..=2).map(move |right| (down, right))) {
            let (down_by, right_by) = (down as f32, right as f32);
            let wanted = [down_by * sine + right_by * cosine, down_by * cosine - right_by * sine];
            let found = [at(0, down, right), at(1, down, right)];
            assert!(found.iter().zip(&wanted).all(|(y, wanted)| (y - wanted).abs() < 1e-4), "{found:?} {wanted:?}");
        }
        angles.push(sine.atan2(cosine).to_degrees());
    }
    assert!(angles.iter().any(|angle| *angle > 5.0) && angles.iter().any(|angle| *angle < -5.0), "{angles:?}");
}

#[test]
fn evaluation_leaves_images_as_they_are_and_faults_are_named() {
    let all = |x: Tensor<'_>| x.random_shift([1, 1]).random_flip(3, 1.0).random_rotate(90.0).id() == x.id();
    let g = Graph::evaluation();
    assert!(all(g.input("x", SHAPE)));
    let g = Graph::new();
    let (x, row) = (g.input("x", SHAPE), g.input("row", [3]));
    let wrong = [
        x.random_shift([4, 0]),
        x.random_flip(0, 0.5),
        x.random_flip(1, 1.5),
        x.random_rotate(181.0),
        row.random_rotate(5.0),
    ];
    assert!(wrong.iter().all(|tensor| !tensor.is_valid()));
    let text = g.infer(&wrong).compile(&Device::cpu(), &Params::seeded(1)).unwrap_err().to_string();
    for part in ["cannot be shifted by [4, 0]", "axis 0 is that of the samples", "is 1.5", "is 181", "has [3]"] {
        assert!(text.contains(part), "`{part}` is missing in: {text}");
    }
}
