// One local of each type of the Rust library that there are views of.
use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque, LinkedList, BinaryHeap};
use std::rc::Rc;
use std::sync::{Arc, Mutex};
use std::path::PathBuf;
use std::ffi::OsString;
#[derive(Clone, Debug)]
pub struct Point { x: i32, y: i32 }
#[derive(Debug)]
pub enum Shape { Empty, Circle { r: f64 }, Rect(i32, i32) }
#[inline(never)]
fn stop(x: &dyn std::any::Any) { std::hint::black_box(x); std::process::abort(); }
fn main() {
    let string = String::from("rust text");
    let empty = String::new();
    let str_slice: &str = &string[0..4];
    let unicode = String::from("h\u{e9} \u{20ac}");
    let numbers = vec![1i32, 2, 3];
    let names = vec![String::from("one"), String::from("two")];
    let pairs = vec![(1i32, 2u8), (3, 4)];
    let slice: &[i32] = &numbers[1..];
    let mut many = Vec::new(); for i in 0..100000u64 { many.push(i * 2); }
    let mut deque: VecDeque<i32> = VecDeque::with_capacity(4); deque.push_back(1); deque.push_back(2); deque.push_front(0); deque.push_front(-1);
    let boxed = Box::new(Point { x: 1, y: 2 });
    let boxed_slice: Box<[i32]> = vec![7, 8].into_boxed_slice();
    let boxed_str: Box<str> = "boxed".into();
    let rc = Rc::new(Point { x: 3, y: 4 }); let rc2 = rc.clone(); let weak = Rc::downgrade(&rc);
    let arc = Arc::new(5i32);
    let some = Some(7i32); let none: Option<i32> = None;
    let some_string = Some(String::from("held"));
    let none_string: Option<String> = None;
    let some_box = Some(Box::new(3i32));
    let ok: Result<i32, String> = Ok(1); let err: Result<i32, String> = Err(String::from("bad"));
    let shape1 = Shape::Empty; let shape2 = Shape::Circle { r: 1.5 }; let shape3 = Shape::Rect(2, 3);
    let mut hash: HashMap<i32, String> = HashMap::new(); hash.insert(42, String::from("answer"));
    let mut hash2: HashMap<String, i32> = HashMap::new(); for i in 0..20 { hash2.insert(format!("k{}", i), i); }
    let mut hashset: HashSet<u8> = HashSet::new(); hashset.insert(9);
    let mut btree: BTreeMap<i32, String> = BTreeMap::new(); for i in 0..5 { btree.insert(i, format!("v{}", i)); }
    let mut btree_big: BTreeMap<i32, i32> = BTreeMap::new(); for i in 0..200 { btree_big.insert(i, i * i); }
    let mut btreeset: BTreeSet<i32> = BTreeSet::new(); btreeset.insert(4); btreeset.insert(2);
    let btree_empty: BTreeMap<i32, i32> = BTreeMap::new();
    let cell = Cell::new(6i32);
    let refcell = RefCell::new(vec![1i32]);
    let borrowed = refcell.borrow();
    let mutex = Mutex::new(12i32);
    let path = PathBuf::from("/usr/lib"); let os = OsString::from("os");
    let tuple = (1i32, String::from("t"), 0.5f64);
    let array = [1i32, 2, 3];
    let mut list = LinkedList::new(); list.push_back(1i32); list.push_back(2);
    let heap = BinaryHeap::from(vec![1, 5, 2]);
    let nested = vec![Some(1i32), None];
    let ch = '\u{20ac}';
    let unit: Vec<()> = vec![(), ()];
    let refstring: &String = &string;
    let refhash: &HashMap<i32, String> = &hash;
    let nonzero = std::num::NonZeroU32::new(5);
    stop(&1i32);
    println!("{:?}", (&string, &empty, &str_slice, &unicode, &numbers, &names, &pairs, &slice));
    println!("{:?}", (&many, &deque, &boxed, &boxed_slice, &boxed_str, &rc, &rc2, &weak, &arc));
    println!("{:?}", (&some, &none, &some_string, &none_string, &some_box, &ok, &err, &shape1, &shape2, &shape3));
    println!("{:?}", (&hash, &hash2, &hashset, &btree, &btree_big, &btreeset, &btree_empty, &cell, &refcell, &borrowed, &mutex));
    println!("{:?}", (&path, &os, &tuple, &array, &list, &heap, &nested, &ch, &unit, &refstring));
}
