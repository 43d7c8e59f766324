//! Data in memory, and the loader.

use super::Catalogue;
use retrograd::data::{Batch, Column, DataLoader, Dataset, Labels, Position, Scale, Tensors, Unseen};
use retrograd::{DType, ErrorKind, Graph, HostData, HostTensor, Result};

/// Four samples: images of 2 x 3 pixels, a number, a class.
fn samples() -> Tensors {
    let pixels = (0..24u8).map(f32::from).collect::<Vec<_>>();
    let data = Tensors::new().column("image", [4, 2, 3], pixels).unwrap();
    data.column("x", [4], vec![0.5f32, 1.5, 2.5, 3.5]).unwrap().column("class", [4], vec![0, 1, 1, 0]).unwrap()
}

#[test]
fn columns() {
    let mut texts = Catalogue::new(ErrorKind::Argument);
    texts.fails("a number as a column", Tensors::new().column("x", [], vec![1.0f32]));
    texts.fails("elements that do not fill a column", Tensors::new().column("x", [4, 3], vec![0.0f32; 11]));
    texts.fails("a column of other samples", samples().column("y", [3], vec![0, 1, 0]));
    texts.fails("a column of a name that is taken", samples().column("x", [4], vec![0.0f32; 4]));
    texts.fails("bytes divided by 0", samples().bytes("bytes", [4], vec![0; 4], 0.0));
    texts.fails("leaving out a column that is not there", samples().without(&["y"]));
    texts.fails("a column of a dataset without any", Tensors::new().read_column("x"));
    texts.fails("a new name that is taken", samples().rename("x", "class"));
    texts.fails("another shape of other elements", samples().reshape("image", [7]));
    texts.fails("other values of other samples", samples().replace("x", vec![0.0f32; 3]));
    texts.fails("stacking nothing", samples().stack(&[], "features"));
    texts.fails("stacking images", samples().stack(&["x", "image"], "features"));
    texts.fails("stacking a column twice", samples().stack(&["x", "x"], "features"));
    texts.fails("a sample past the end", samples().batch(&[0, 4]));
    let batch = samples().batch(&[0, 1]).unwrap();
    texts.fails("a column that a batch lacks", batch.get("y"));
    texts.fails("a column of other rows than its batch", batch.clone().with("y", vec![0, 1, 0]));
    let number = HostTensor::new([], HostData::F32(vec![1.0])).unwrap();
    texts.fails("a number in a batch", batch.with("y", number));
    texts.compare("data_columns");
}

/// A dataset that does not read what its columns say.
struct Wrong([Column; 1], Vec<HostTensor>);

impl Dataset for Wrong {
    fn len(&self) -> usize {
        4
    }
    fn columns(&self) -> &[Column] {
        &self.0
    }
    fn read(&self, _rows: &[usize]) -> Result<Vec<HostTensor>> {
        Ok(self.1.clone())
    }
}

#[test]
fn datasets() {
    let mut texts = Catalogue::new(ErrorKind::Argument);
    texts.fails("fractions of more than all", samples().split([0.8, 0.3], 1));
    texts.fails("a fraction that leaves nothing", samples().split([0.95, 0.05], 1));
    texts.fails("a subset past the end", samples().subset(vec![1, 9]));
    texts.fails("joining other columns", samples().concat(samples().without(&["x"]).unwrap()));
    let none = samples().subset(Vec::new()).unwrap();
    texts.fails("mapping nothing", none.clone().map(Ok));
    texts.fails("mapping by a function that fails", samples().map(|batch| batch.without("y")));
    let twice = |batch: Batch| Batch::default().with("x", [batch.get("x")?.to_vec(), vec![0.0]].concat());
    texts.fails("mapping to another number of rows", samples().map(twice));
    let whole = |batch: Batch| if batch.rows() == 1 { batch.without("x") } else { Ok(batch) };
    texts.fails("mapping to columns that change", samples().map(whole).unwrap().all());
    let wrong = |tensors| Wrong([Column::new("x", DType::F32, [])], tensors);
    texts.fails("a dataset that reads too little", wrong(vec![]).all());
    texts.fails("a dataset that reads another type", wrong(vec![vec![1, 2, 3, 4].into()]).all());

    let first = |loader: DataLoader| loader.epoch().next().expect("an error comes as a batch does");
    texts.fails("batches of nothing", first(DataLoader::new(samples(), 0)));
    texts.fails("a loader of nothing", first(DataLoader::new(none, 2)));
    texts.fails("less than a batch, dropped", first(DataLoader::new(samples(), 5).drop_last()));
    let weighted = samples().rename("class", "weight").unwrap();
    texts.fails("padding beside another column `weight`", first(DataLoader::new(weighted, 3).pad()));
    let seek = DataLoader::new(samples(), 2).seek(Position { epoch: 3, batch: 7 });
    texts.fails("a position of another dataset", seek);
    let change = |column: &'static str, whole: bool| {
        first(DataLoader::new(samples(), 2).augment(1, move |sample, _| {
            if whole { sample.integers(column).map(drop) } else { sample.floats(column).map(drop) }
        }))
    };
    texts.fails("augmenting a column that is not there", change("pixels", false));
    texts.fails("augmenting classes as floats", change("class", false));
    texts.fails("augmenting floats as classes", change("x", true));
    let panics = DataLoader::new(samples(), 2).threads(1).augment(1, |_, _| panic!("a bug of the caller"));
    texts.fails("augmenting by a function that panics", first(panics));
    texts.compare("data_datasets");

    let mut texts = Catalogue::new(ErrorKind::Feed);
    let g = Graph::new();
    let (x, y) = (g.input("x", [4]), g.labels("y", [4]));
    let batch = samples().all().unwrap();
    texts.fails("a batch for an input of another name", batch.feeds(&g));
    texts.fails("a batch for a computed tensor", batch.feeds([x, x.exp()]));
    texts.fails("a column that is not there, in a pair", batch.feeds([("label", y)]));
    texts.compare("data_feed");
}

#[test]
fn preprocessing() {
    let mut texts = Catalogue::new(ErrorKind::Argument);
    texts.fails("scaling a column that is not there", Scale::standardize(&samples(), "y"));
    texts.fails("scaling classes", Scale::standardize(&samples(), "class"));
    texts.fails("scaling nothing", Scale::standardize(&samples().subset(Vec::new()).unwrap(), "x"));
    let column = |values: [f32; 2]| Tensors::new().column("x", [2, 1], values.to_vec()).unwrap();
    texts.fails("scaling NaN", Scale::min_max(&column([0.5, f32::NAN]), "x"));
    texts.fails("a range that single precision does not hold", Scale::min_max(&column([f32::MIN, f32::MAX]), "x"));
    let scale = Scale::standardize(&samples(), "image").unwrap();
    texts.fails("applying a scale to other features", scale.apply(&HostTensor::from(vec![0.5f32; 4])));
    texts.fails("applying a scale to integers", scale.apply(&HostTensor::from(vec![1, 2, 3])));
    let labels = Labels::fit(["setosa", "virginica"]);
    texts.fails("a category that was not fitted", labels.numbers(["setosa", "rosa"], Unseen::Error));
    texts.fails("vectors of floats", labels.one_hot(&HostTensor::from(vec![0.5f32])));
    texts.compare("data_preprocess");

    let mut texts = Catalogue::new(ErrorKind::Index);
    texts.fails("a vector for a category that is not there", labels.one_hot(&HostTensor::from(vec![0, 2])));
    texts.compare("data_index");

    let mut texts = Catalogue::new(ErrorKind::File);
    texts.fails("labels from something else", Labels::from_json("{\"a\": 1}"));
    texts.fails("labels that were changed by hand", Labels::from_json("[\"b\", \"a\"]"));
    texts.fails("a scale from something else", Scale::from_json("[]"));
    let broken = scale.to_json().replace("[2,3]", "[2,4]");
    texts.fails("a scale that was changed by hand", Scale::from_json(&broken));
    texts.compare("data_saved");
}
