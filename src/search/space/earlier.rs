//! What earlier studies found: points to try first, and where good values are believed to be.
//!
//! Values of different studies are not on one scale, so a point keeps its standing within its own study and nothing else.

use super::Space;
use crate::base::direction::Direction;
use crate::journal::event::Params;

/// Points kept at most.
const MOST: usize = 300;
/// Points that are tried again.
const AGAIN: usize = 3;

/// A point of an earlier study.
#[derive(Clone, Debug, PartialEq)]
pub struct Earlier {
    /// Its values. It need not be a point of this space.
    pub params: Params,
    /// The share of that study's other points that it was better than: 0 the worst, 1 the best.
    pub score: f64,
}

impl Earlier {
    /// The points of one study with their values; what is not finite is left out.
    pub fn of_study(points: Vec<(Params, f64)>, direction: Direction) -> Vec<Self> {
        let points: Vec<(Params, f64)> = points.into_iter().filter(|(_, value)| value.is_finite()).collect();
        let others = points.len().saturating_sub(1).max(1) as f64;
        let score = |value: f64| {
            let worse = points.iter().filter(|(_, v)| direction.is_better(value, *v)).count() as f64;
            let better = points.iter().filter(|(_, v)| direction.is_better(*v, value)).count() as f64;
            // Equals share their places.
            0.5 + 0.5 * (worse - better) / others
        };
        points.iter().map(|(params, value)| Self { params: params.clone(), score: score(*value) }).collect()
    }
}

impl Space {
    /// What earlier studies found.
    pub fn earlier(&self) -> &[Earlier] {
        &self.earlier
    }

    /// This space with what earlier studies found. Their best points that are points of this space become initial points.
    pub fn with_earlier(mut self, mut earlier: Vec<Earlier>) -> Self {
        earlier.sort_by(|a, b| b.score.total_cmp(&a.score));
        let mut again: Vec<Params> = Vec::new();
        for point in earlier.iter().map(|e| self.active_part(&e.params)) {
            if again.len() < AGAIN && !again.contains(&point) && self.validate(&point).is_ok() {
                again.push(point);
            }
        }
        again.retain(|point| !self.initial.contains(point));
        self.initial.extend(again);
        // The better half, and an even spread of the rest: what is bad is worth knowing too.
        let half = MOST / 2;
        if earlier.len() > MOST {
            let rest = earlier.split_off(half);
            earlier.extend((0..half).filter_map(|k| rest.get(k * rest.len() / half).cloned()));
        }
        self.earlier = earlier;
        self
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn at(x: f64) -> Params {
        Params::from([("x".to_owned(), json!(x))])
    }

    #[test]
    fn of_study_scores_are_ranks_in_the_studys_own_direction() {
        let scores = |direction| {
            let points = [0.5, f64::NAN, 0.9, 0.5, 0.1].map(|v| (at(v), v)).to_vec();
            Earlier::of_study(points, direction).into_iter().map(|e| e.score).collect::<Vec<_>>()
        };
        assert_eq!(scores(Direction::Maximize), [0.5, 1.0, 0.5, 0.0]);
        assert_eq!(scores(Direction::Minimize), [0.5, 0.0, 0.5, 1.0]);
        assert_eq!(Earlier::of_study(vec![(at(0.3), 2.0)], Direction::Maximize)[0].score, 0.5);
    }

    #[test]
    fn with_earlier_the_best_points_of_this_space_come_first_and_survive_the_file() {
        let text = "parameters: {x: {type: float, low: 0, high: 1}}\ninitial: [{x: 0.25}]";
        let space = Space::parse_yaml(text, "test").unwrap();
        // 7 was best and is no point of this space; 0.25 is there already.
        let points = [(7.0, 9.0), (0.25, 8.0), (0.5, 7.0), (0.5, 6.0), (0.75, 5.0), (0.1, 4.0), (0.9, 3.0)];
        let earlier = Earlier::of_study(points.map(|(x, v)| (at(x), v)).to_vec(), Direction::Maximize);
        let space = space.with_earlier(earlier);
        assert_eq!(space.initial(), [at(0.25), at(0.5), at(0.75)]);
        assert_eq!(space.earlier().len(), 7);
        let again = Space::parse_yaml(&space.to_yaml(), "test").unwrap();
        assert_eq!((again.initial(), again.earlier()), (space.initial(), space.earlier()));
    }

    #[test]
    fn with_earlier_of_a_long_study_keeps_the_best_and_some_of_the_rest() {
        let space = Space::parse_yaml("parameters: {x: {type: float, low: 0, high: 1}}", "test").unwrap();
        let points = (0..2000).map(|i| (at(f64::from(i) / 2000.0), f64::from(i))).collect();
        let space = space.with_earlier(Earlier::of_study(points, Direction::Minimize));
        let scores: Vec<f64> = space.earlier().iter().map(|e| e.score).collect();
        assert_eq!(scores.len(), MOST);
        assert!(scores[0] == 1.0 && scores[149] > 0.9 && scores[299] < 0.05, "{scores:?}");
    }
}
