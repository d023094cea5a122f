from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xai_audit.errors import MethodError
from xai_audit.mechanistic import medoids as ours
from xai_audit.mechanistic.medoids import bandwidth, by_class, criticisms, medoids, mmd_critic, nearest


def squares(a, b):
    return ((a[:, None].astype(float) - b[None].astype(float)) ** 2).sum(axis=2)


def cost(distances, rows):
    return distances[list(rows)].min(axis=0).mean()


def kernel(points, gamma):
    return np.exp(-gamma * squares(points, points))


def mmd(likeness, rows):
    rows = list(rows)
    return likeness.mean() - 2 * likeness[:, rows].mean() + likeness[np.ix_(rows, rows)].mean()


@given(st.integers(0, 10**6), st.integers(3, 14), st.integers(1, 3), st.integers(1, 4))
@settings(max_examples=60, deadline=None)
def test_medoids_of_few_points_are_those_of_brute_force(seed, n, k, d):
    points = np.random.default_rng(seed).normal(size=(n, d))
    distances = squares(points, points)
    best = min(cost(distances, rows) for rows in combinations(range(n), k))
    found = medoids(points, k)
    assert found.how == "exact"
    assert len(set(found.rows.tolist())) == k
    assert cost(distances, found.rows) == pytest.approx(best, abs=1e-5)
    assert found.objective == pytest.approx(best, abs=1e-5)


def test_one_medoid_is_exact_of_any_number_of_points():
    points = np.random.default_rng(1).normal(size=(ours.HELD + 10, 3))
    best = int(np.argmin([squares(points[[row]], points).mean() for row in range(len(points))]))
    assert medoids(points, 1).rows.tolist() == [best]


@pytest.mark.parametrize("seed", range(5))
def test_swaps_leave_no_exchange_that_improves(seed):
    points = np.random.default_rng(seed).normal(size=(80, 4))
    found = medoids(points, 6)
    assert found.how == "greedy and swaps"
    distances, rows = squares(points, points), found.rows.tolist()
    now = cost(distances, rows)
    for out, into in np.ndindex(6, 80):
        assert cost(distances, [*rows[:out], into, *rows[out + 1 :]]) >= now - 1e-5


@pytest.mark.parametrize("threads", [1, 2])
def test_the_lazy_search_is_the_greedy_one(monkeypatch, threads):
    points = np.random.default_rng(3).normal(size=(700, 5))
    distances = squares(points, points)
    rows = [int(np.argmin(distances.sum(axis=1)))]
    for _ in range(7):
        near = distances[rows].min(axis=0)
        gains = np.maximum(near - distances, 0).sum(axis=1)
        gains[rows] = -1
        rows.append(int(np.argmax(gains)))
    monkeypatch.setattr(ours, "HELD", 100)
    monkeypatch.setattr(ours, "BLOCK", 128)
    monkeypatch.setattr(ours, "ASKED", 32)
    found = medoids(points, 8, threads=threads)
    assert found.how == "greedy"
    assert found.rows.tolist() == rows
    assert found.objective == pytest.approx(cost(distances, rows), rel=1e-4)


def test_threads_change_no_bit(monkeypatch):
    monkeypatch.setattr(ours, "BLOCK", 64)
    points = np.random.default_rng(4).normal(size=(500, 6))
    one, two = (mmd_critic(points, 9, threads=threads) for threads in (1, 2))
    assert one.rows.tolist() == two.rows.tolist()
    assert one.objective == two.objective


@given(st.integers(0, 10**6), st.integers(6, 40), st.integers(1, 5))
@settings(max_examples=40, deadline=None)
def test_mmd_critic_is_the_greedy_minimum_of_the_discrepancy(seed, n, k):
    points = np.random.default_rng(seed).normal(size=(n, 3))
    likeness = kernel(points, 0.4)
    rows: list[int] = []
    for _ in range(k):
        values = [mmd(likeness, [*rows, j]) if j not in rows else np.inf for j in range(n)]
        rows.append(int(np.argmin(values)))
    found = mmd_critic(points, k, gamma=0.4)
    assert mmd(likeness, found.rows) == pytest.approx(mmd(likeness, rows), abs=1e-5)
    assert found.objective == pytest.approx(mmd(likeness, found.rows), abs=1e-5)


def test_criticisms_are_the_greedy_maximum_of_witness_and_determinant():
    points = np.random.default_rng(6).normal(size=(40, 2))
    likeness, prototypes = kernel(points, 0.5), np.array([3, 9, 20])
    witness = np.abs(likeness.mean(axis=0) - likeness[:, prototypes].mean(axis=1))
    rows: list[int] = []
    for _ in range(4):
        values = np.full(40, -np.inf)
        for j in set(range(40)) - set(rows) - set(prototypes.tolist()):
            chosen = [*rows, j]
            values[j] = witness[chosen].sum() + np.linalg.slogdet(likeness[np.ix_(chosen, chosen)])[1]
        rows.append(int(np.argmax(values)))
    assert criticisms(points, prototypes, 4, gamma=0.5).tolist() == rows
    assert len(criticisms(points, prototypes, 1000, gamma=0.5)) == 37


def test_the_bandwidth_is_one_over_the_median_squared_distance():
    points = np.random.default_rng(7).normal(size=(200, 4))
    assert bandwidth(points) == pytest.approx(
        1 / np.median(squares(points, points)[np.triu_indices(200, 1)]), rel=1e-5
    )
    assert bandwidth(np.ones((5, 2))) == 1


@given(st.integers(0, 10**6), st.booleans())
@settings(max_examples=30, deadline=None)
def test_neighbours_are_those_of_brute_force(seed, themselves):
    rng = np.random.default_rng(seed)
    points = rng.normal(size=(30, 3)) + 100
    queries = points if themselves else rng.normal(size=(12, 3)) + 100
    index, found = nearest(queries, points, 4, themselves=themselves)
    distances = squares(queries, points)
    if themselves:
        np.fill_diagonal(distances, np.inf)
    assert index.tolist() == np.argsort(distances, axis=1, kind="stable")[:, :4].tolist()
    assert found == pytest.approx(np.sort(distances, axis=1)[:, :4], rel=1e-9)


def test_mean_distances_by_class_are_those_of_brute_force():
    rng = np.random.default_rng(8)
    points, labels = rng.normal(size=(25, 3)), rng.integers(0, 2, 25)
    labels[0] = 3
    found = by_class(points, points, labels, 4, 3, themselves=True)
    distances = np.sqrt(squares(points, points))
    np.fill_diagonal(distances, np.inf)
    for one in (0, 1):
        wanted = np.sort(distances[:, labels == one], axis=1)[:, :3].mean(axis=1)
        assert found[:, one] == pytest.approx(wanted, rel=1e-4)
    assert np.isinf(found[:, 2]).all()
    assert np.isinf(found[0, 3])
    assert found[1:, 3] == pytest.approx(distances[1:, 0], rel=1e-4)


@pytest.mark.parametrize("pick", [medoids, mmd_critic])
def test_copies_of_one_point_are_no_trouble(pick):
    points = np.repeat(np.array([[0.0, 0.0], [5.0, 0.0]]), 20, axis=0)
    found = pick(points, 2)
    assert {points[row, 0] for row in found.rows} == {0.0, 5.0}
    assert found.objective == pytest.approx(0, abs=1e-6)
    assert sorted(pick(points, 40).rows.tolist()) == list(range(40))


@pytest.mark.parametrize("pick", [medoids, mmd_critic])
def test_what_cannot_be_chosen_is_refused(pick):
    with pytest.raises(MethodError, match="4 prototypes of 3 points"):
        pick(np.eye(3), 4)
    with pytest.raises(MethodError, match="finite"):
        pick(np.array([[1.0], [np.nan]]), 1)
