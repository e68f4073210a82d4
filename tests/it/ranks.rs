//! Ranks of one training in threads of this process: what they say to each other, and that it can be differentiated.

use std::time::Duration;

use cliptune::base::rank::Rank;
use cliptune::train::ranks::{Group, Reducer, Store};
use tch::{Kind, Tensor};

/// Runs `act` on every rank of a group of `size` and gives what each returned.
fn on_ranks<T: Send>(size: usize, act: impl Fn(&Group) -> T + Sync) -> Vec<T> {
    let store = Store::open("127.0.0.1", 0, true, Duration::from_secs(20)).unwrap();
    let work = |rank: usize| {
        let rank =
            Rank { rank, size, local: rank, local_size: size, address: "127.0.0.1".to_owned(), port: store.port() };
        // A connection of its own: waiting on one that is shared would keep the others from speaking.
        let own = Store::open("127.0.0.1", store.port(), false, Duration::from_secs(20)).unwrap();
        act(&Group::open(&own, &rank).unwrap())
    };
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..size).map(|rank| scope.spawn(move || work(rank))).collect();
        threads.into_iter().map(|t| t.join().unwrap()).collect()
    })
}

fn numbers(tensor: &Tensor) -> Vec<f32> {
    Vec::try_from(tensor.contiguous().view(-1)).unwrap()
}

#[test]
fn collectives_give_every_rank_the_same() {
    let seen = on_ranks(3, |group| {
        let own = Tensor::from_slice(&[group.rank() as f32, 1.0]);
        let sum = own.copy();
        group.add_up(&sum).unwrap();
        let first = own.copy();
        group.spread(&first).unwrap();
        let word = group.of_first(format!("from {}", group.rank())).unwrap();
        let any = group.any(group.rank() == 2).unwrap();
        let alike = ["a/0", "a/1", "a/0"][group.rank()];
        assert_eq!(group.first_alike(alike).unwrap(), Some((0, 2)));
        assert_eq!(group.first_alike(&format!("a/{}", group.rank())).unwrap(), None);
        (numbers(&sum), numbers(&first), numbers(&group.all_gather(&own).unwrap()), word, any)
    });
    let expected = (vec![3.0, 3.0], vec![0.0, 1.0], vec![0.0, 1.0, 1.0, 1.0, 2.0, 1.0], "from 0".to_owned(), true);
    assert!(seen.iter().all(|s| *s == expected), "{seen:?}");
}

#[test]
fn gradients_go_back_through_gather_ring_and_sum() {
    // Rank r weighs the rows of rank s by 10 r + s, so row s gets the sum of 10 r + s over r.
    let seen = on_ranks(3, |group| {
        let rank = group.rank();
        let leaf = || Tensor::from_slice(&[rank as f32 + 1.0]).set_requires_grad(true);
        let weight = |of: usize| (10 * rank + of) as f64;
        let (gathered, shifted, summed) = (leaf(), leaf(), leaf());
        let all = group.gathered(&gathered).unwrap();
        let rows: Vec<Tensor> = (0..3).map(|of| all.get(of as i64) * weight(of)).collect();
        Tensor::stack(&rows, 0).sum(Kind::Float).backward();
        let before = group.shifted(&shifted, 1).unwrap();
        (before.shallow_clone() * weight((rank + 2) % 3)).backward();
        let total = group.summed(&summed).unwrap();
        (&total * weight(0)).backward();
        let gradients = [&gathered, &shifted, &summed].map(|t| numbers(&t.grad())[0]);
        (numbers(&before)[0], numbers(&total)[0], gradients)
    });
    for (rank, (before, total, gradients)) in seen.into_iter().enumerate() {
        assert_eq!((before, total), ([3.0, 1.0, 2.0][rank], 6.0));
        let next = ((rank + 1) % 3) as f32;
        assert_eq!(gradients, [30.0 + 3.0 * rank as f32, 10.0 * next + rank as f32, 30.0]);
    }
}

#[test]
fn reduced_gradients_are_means_whole_or_in_shards() {
    for in_shards in [false, true] {
        let seen = on_ranks(2, |group| {
            let rank = group.rank();
            let parameters: Vec<Tensor> = [vec![5], vec![1], vec![2, 3]]
                .iter()
                .map(|s| Tensor::ones(s, (Kind::Float, tch::Device::Cpu)).set_requires_grad(true))
                .collect();
            let piece = |p: &Tensor| {
                let (n, share) = (p.numel() as i64, (p.numel() as i64 + 1) / 2);
                let start = (rank as i64 * share).min(n);
                p.detach().view(-1).narrow(0, start, share.min(n - start))
            };
            let pieces: Vec<Tensor> = parameters.iter().map(piece).collect();
            let own = in_shards.then_some(pieces.as_slice());
            // Buckets of one parameter each.
            let reducer = Reducer::with_buckets(group, &parameters, own, 1).unwrap();
            for last in [false, true] {
                if last {
                    reducer.arm();
                }
                // Gradients 1, 2, 3 … times rank + 1, in two halves.
                let loss: Vec<Tensor> = parameters
                    .iter()
                    .map(|p| {
                        let n = p.numel() as i64;
                        let weights = Tensor::arange(n, (Kind::Float, tch::Device::Cpu)) + 1.0;
                        (p.view(-1) * weights * (0.5 * (rank + 1) as f64)).sum(Kind::Float)
                    })
                    .collect();
                Tensor::stack(&loss, 0).sum(Kind::Float).backward();
            }
            reducer.finish().unwrap();
            if !in_shards {
                return parameters.iter().map(|p| numbers(&p.grad())).collect::<Vec<_>>();
            }
            assert!(parameters.iter().all(|p| !p.grad().defined()));
            // A step on the pieces, known to all after it.
            for piece in pieces.iter().filter(|p| p.numel() > 0) {
                piece.shallow_clone().copy_(&piece.grad());
            }
            reducer.share().unwrap();
            parameters.iter().map(|p| numbers(&p.detach())).collect()
        });
        let upto = |n: i32| (1..=n).map(|i| 1.5 * i as f32).collect::<Vec<_>>();
        let expected = vec![upto(5), upto(1), upto(6)];
        assert_eq!(seen, [expected.clone(), expected], "in shards: {in_shards}");
    }
}
