//! Text tables as they should be, and as they are.

use crate::refused;
use proptest::prelude::*;
use retrograd::data::{Csv, Dataset, Kind, Missing, Table};
use retrograd::{DType, Result};
use std::fmt::Write as _;

fn read(text: &str) -> Result<Table> {
    Csv::new().read_bytes("t.csv", text.as_bytes())
}

fn values(table: &Table, column: &str) -> Vec<f32> {
    table.all().unwrap().get(column).unwrap().to_vec()
}

#[test]
fn columns_hold_what_their_first_value_says() {
    let table = read("i,f,mixed,c\n1,0.5,1,b\n-7,1e3,2.5,a\n+3,.25,3,b\n").unwrap();
    let kinds: Vec<DType> = table.columns().iter().map(|column| column.dtype).collect();
    assert_eq!(kinds, [DType::I32, DType::F32, DType::F32, DType::I32]);
    assert_eq!(values(&table, "i"), [1.0, -7.0, 3.0]);
    assert_eq!(values(&table, "f"), [0.5, 1000.0, 0.25]);
    assert_eq!(values(&table, "mixed"), [1.0, 2.5, 3.0]);
    assert_eq!(values(&table, "c"), [1.0, 0.0, 1.0]);
    assert_eq!(table.labels("c").unwrap().names(), ["a", "b"]);
    let set = Csv::new().category("i").kind("mixed", Kind::Float).only(&["i", "mixed"]);
    let table = set.read_bytes("t.csv", b"i,mixed,c\n1,1,b\n20,2,a\n").unwrap();
    assert_eq!(table.labels("i").unwrap().names(), ["1", "20"]);
    assert_eq!(table.columns()[1].dtype, DType::F32);
}

#[test]
fn marks_line_ends_quotes_and_delimiters_are_those_of_the_world() {
    let table = read("\u{feff}a,\"b \"\"x\"\"\"\r\n1,\"one, two\"\r\n\r\n 2 ,\"a\nb\"\r\n").unwrap();
    assert_eq!(table.columns().iter().map(|column| column.name.as_str()).collect::<Vec<_>>(), ["a", "b \"x\""]);
    assert_eq!(values(&table, "a"), [1.0, 2.0]);
    assert_eq!(table.labels("b \"x\"").unwrap().names(), ["a\nb", "one, two"]);
    let table = Csv::new().delimiter(b';').without_header().read_bytes("t", b"1;2.5\n3;4").unwrap();
    assert_eq!(values(&table, "column_2"), [2.5, 4.0]);
}

#[test]
fn what_is_wrong_is_named_by_line_and_column() {
    refused(read(""), &["t.csv is empty"]);
    refused(read("a,b\r\n"), &["t.csv holds a header, and no rows"]);
    refused(read("a,b\n1,2\n3\n"), &["t.csv, line 3: the row has 1 cells, and the first line 2"]);
    refused(read("a,b\n1,2\n3,4,5\n"), &["t.csv, line 3: the row has 3 cells"]);
    refused(read("a,b\n1,2\n3,x4\n5,y\n"), &["t.csv, line 3: column `b` is `x4`", "holds numbers"]);
    refused(read("a,b\n1,2\n3,\n"), &["t.csv, line 3: column `b` has no value"]);
    refused(read("a\n1\nNaN\n"), &["line 3: column `a` has no value"]);
    refused(read("a\n1\ninf\n"), &["line 3: column `a` is `inf`"]);
    refused(read("a\n1\n1e39\n"), &["line 3: column `a` is `1e39`, which single precision does not hold"]);
    refused(read("a,b,a\n1,2,3\n"), &["columns 1 and 3 both `a`"]);
    refused(read("1,2\n3,4\n"), &["numbers alone in its first line", "without_header"]);
    refused(Csv::new().category("z").read_bytes("t", b"a\n1\n"), &["no column `z`", "`a`"]);
    refused(Csv::new().without(&["a"]).read_bytes("t", b"a\n1\n"), &["no column left"]);
    refused(Csv::new().kind("a", Kind::Integer).read_bytes("t", b"a\n1\n3000000000\n"), &["line 3", "fit an i32"]);
    refused(Csv::new().read_bytes("t", b"\xff\xfea\x00,\x00b\x00"), &["UTF-16"]);
    refused(Csv::new().read_bytes("t", b"a\nx\nM\xfcller\n"), &["line 3: column `a`", "not UTF-8"]);
    let unclosed = format!("a,b\n1,\"x\n{}", "2,y\n".repeat(400));
    refused(read(&unclosed), &["line 2: column `b`", "quote"]);
    let mut many = String::from("id\n");
    (0..70_000).for_each(|row| writeln!(many, "name{row}").unwrap());
    refused(read(&many), &["column `id`", "65536 different texts", "without"]);
    refused(Csv::new().read("/nowhere/t.csv"), &["/nowhere/t.csv could not be read"]);
}

#[test]
fn missing_values_take_the_policy_of_their_column() {
    let text = "a,b,c\n1,2,x\n,4,y\n3,NA,\n4,6,x\n";
    let with = |policy| Csv::new().missing(policy).read_bytes("t", text.as_bytes()).unwrap();
    let dropped = with(Missing::DropRow);
    assert_eq!((values(&dropped, "a"), dropped.dropped()), (vec![1.0, 4.0], 2));
    assert_eq!(dropped.labels("c").unwrap().names(), ["x"], "a category of dropped rows alone is none");
    let constant = with(Missing::Value(-1.0));
    assert_eq!(
        (values(&constant, "a"), values(&constant, "b")),
        (vec![1.0, -1.0, 3.0, 4.0], vec![2.0, 4.0, -1.0, 6.0])
    );
    assert_eq!(constant.columns()[0].dtype, DType::I32);
    let mean = with(Missing::Mean);
    assert_eq!(values(&mean, "b"), [2.0, 4.0, 4.0, 6.0]);
    assert_eq!(values(&mean, "a")[1], 8.0 / 3.0);
    assert_eq!(mean.labels("c").unwrap().names(), ["missing", "x", "y"]);
    assert_eq!(mean.filled().values().copied().collect::<Vec<_>>(), [1, 1, 1]);
    let each = Csv::new().missing(Missing::DropRow).missing_in("b", Missing::Value(0.5)).missing_in("c", Missing::Mean);
    let each = each.read_bytes("t", text.as_bytes()).unwrap();
    assert_eq!((values(&each, "a"), values(&each, "b")), (vec![1.0, 3.0, 4.0], vec![2.0, 0.5, 6.0]));
    refused(Csv::new().missing(Missing::DropRow).read_bytes("t", b"a,b\n1,\n,2\n"), &["every one of 2 rows"]);
    refused(Csv::new().missing(Missing::Mean).read_bytes("t", b"a,b\n1,\n2,\n"), &["`b` has no value in any row"]);
    let texts =
        Csv::new().missing_texts(&["-999"]).missing(Missing::Value(0.0)).read_bytes("t", b"a\n5\n-999\n").unwrap();
    assert_eq!(values(&texts, "a"), [5.0, 0.0]);
}

#[test]
fn features_are_vectors_and_categories_are_not_amounts() {
    let table = || read("a,city,b,y\n1,rome,0.5,0\n2,oslo,1.5,1\n").unwrap();
    refused(table().features(&["a", "city"], "x"), &["`city` holds categories", "one_hot"]);
    let table = table().one_hot("city").unwrap().features_except(&["y"], "x").unwrap();
    assert_eq!(table.columns().iter().map(ToString::to_string).collect::<Vec<_>>(), ["`y` i32[]", "`x` f32[4]"]);
    assert_eq!(values(&table, "x"), [1.0, 0.0, 1.0, 0.5, 2.0, 1.0, 0.0, 1.5]);
    refused(table.labels("city"), &["no column `city`", "`y`, `x`"]);
    refused(table.labels("x"), &["`x` holds no categories"]);
}

#[test]
fn twenty_columns_of_every_kind_are_read_together() {
    let mut text = (0..20).map(|column| format!("c{column}")).collect::<Vec<_>>().join(",") + "\n";
    for row in 0..50 {
        let cell = |column: usize| match column % 5 {
            0 => format!("{}", row * column as i32 - 25),
            1 => format!("{:.3}", f64::from(row) / 7.0),
            2 => format!("k{}", row as usize % (column + 1)),
            3 => format!("\" {} \"", row % 2),
            _ => {
                if row % 10 == 9 {
                    String::new()
                } else {
                    format!("{row}e-2")
                }
            }
        };
        let _ = writeln!(text, "{}", (0..20).map(cell).collect::<Vec<_>>().join(","));
    }
    let table = Csv::new().missing(Missing::Mean).read_bytes("t", text.as_bytes()).unwrap();
    assert_eq!((table.len(), table.columns().len(), table.filled().len(), table.categories().len()), (50, 20, 4, 4));
    assert_eq!(table.labels("c17").unwrap().len(), 18);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn numbers_are_read_to_the_bit(values in prop::collection::vec(prop::num::f32::NORMAL | prop::num::f32::ZERO | prop::num::f32::SUBNORMAL, 1..30)) {
        let text = values.iter().fold(String::from("x,n\n"), |text, value| format!("{text}{value:e},{value}\n"));
        let table = Csv::new().kind("x", Kind::Float).kind("n", Kind::Float).read_bytes("t", text.as_bytes()).unwrap();
        let bits = |column| self::values(&table, column).iter().map(|x| x.to_bits()).collect::<Vec<_>>();
        let wanted: Vec<u32> = values.iter().map(|x| x.to_bits()).collect();
        // A parser by way of double precision may round twice: never further than to a neighbour.
        prop_assert!(bits("x").iter().zip(&wanted).all(|(one, two)| one.abs_diff(*two) <= 1));
        prop_assert_eq!(bits("x"), bits("n"));
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(prop::sample::select(b"ab1,.\"\n\r;-eE+N \xef\xbb\xbf\xff".to_vec()), 0..120), policy in 0..3) {
        let policy = [Missing::Mean, Missing::DropRow, Missing::Value(0.5)][policy as usize];
        for csv in [Csv::new(), Csv::new().without_header()] {
            if let Ok(table) = csv.missing(policy).read_bytes("t", &bytes) {
                prop_assert_eq!(table.all().unwrap().rows(), table.len());
            }
        }
    }
}
