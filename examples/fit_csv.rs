//! From a CSV file to a trained and saved model with its curves, in ten lines: wines of three cultivars, told apart by their
//! chemical analysis.

use retrograd::data::{Csv, DataLoader, Dataset, Scale};
use retrograd::nn::{Activation, Sequential};
use retrograd::{Device, Graph, Params, Result, fit::Supervised, optim::AdamW};

fn main() -> Result<()> {
    let wines = Csv::new().read("examples/data/wine.csv")?.features_except(&["cultivar"], "analysis")?;
    let [training, validation] = wines.split([0.8, 0.2], 1)?;
    let (mut params, g) = (Params::seeded(1), [Graph::new(), Graph::evaluation()]);
    let scale = Scale::standardize(&training, "analysis")?.layer(&mut params, "scale");
    let model = Sequential::new().then(scale).then(Sequential::mlp(&mut params, "mlp", [13, 32, 3], Activation::Relu));
    let network = Supervised::classifier("analysis", "cultivar", |x| model.forward(x));
    let data = [DataLoader::new(training, 16).shuffle(1).pad(), DataLoader::new(validation, 16).pad()];
    let mut trainer = network.trainer(&g, &Device::best()?, &params, AdamW::new(1e-2), data)?.restore_best().progress();
    trainer.fit(30)?.save_plots("target/wine")?;
    trainer.step().save("target/wine/model.safetensors")?;

    println!("{}", trainer.history());
    Ok(())
}
