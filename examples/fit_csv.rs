//! From a CSV file to a trained and saved model with its curves, in ten lines: wines of three cultivars, told apart by their
//! chemical analysis.

use retrograd::data::{Csv, DataLoader, Dataset, Standardize};
use retrograd::nn::{Activation, Linear, Sequential};
use retrograd::{Device, Graph, Params, Result, fit::Supervised, optim::AdamW};

fn main() -> Result<()> {
    let wines = Csv::new().read("examples/data/wine.csv")?.features_except(&["cultivar"], "analysis")?;
    let [training, validation] = wines.split([0.8, 0.2], 1)?;
    let scale = Standardize::fit(&training, "analysis")?;
    let loaders = [DataLoader::new(training, 16).shuffle(1).pad(), DataLoader::new(validation, 16).pad()];
    let (mut params, graphs) = (Params::seeded(1), [Graph::new(), Graph::evaluation()]);
    let up = Sequential::new().then(Linear::new(&mut params, "up", 13, 32)).then(Activation::Relu);
    let model = up.then(Linear::new(&mut params, "down", 32, 3));
    let network = Supervised::classifier("analysis", "cultivar", |x| model.forward(scale.forward(x)));
    let trainer = network.trainer(&graphs, &Device::best()?, &params, AdamW::new(1e-2), loaders)?;
    let mut trainer = trainer.restore_best().progress().log_csv("target/wine/log.csv").log_tensorboard("target/wine");
    let history = trainer.fit(30)?;
    trainer.step().save("target/wine/model.safetensors")?;
    history.save("target/wine/history.json")?;

    let Some(best) = history.best() else { return Ok(()) };
    println!("epoch {}: {}", best.epoch, best.values);
    if let Some(confusion) = &best.confusion {
        println!("cultivars downwards, predictions across:\n{confusion}");
    }
    Ok(())
}
