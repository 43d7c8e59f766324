//! stub
/// R
#[derive(Debug)]
pub struct Report;
