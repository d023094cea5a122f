"""The grammar of sites, and the algebra of edits against its closed forms."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch", reason="torch is not installed")

from hypothesis import given, settings  # noqa: E402
from hypothesis import strategies as st  # noqa: E402

from xai_audit.errors import MethodError  # noqa: E402
from xai_audit.mechanistic.sites import Edit, Site, feature_axis  # noqa: E402

paths = st.from_regex(r"[a-z_]{1,5}(\.[a-z0-9_]{1,5}){0,3}", fullmatch=True) | st.just("")
sites = st.builds(
    Site,
    paths,
    st.sampled_from(["in", "out"]),
    st.none() | st.integers(0, 40),
    st.none() | st.integers(-40, 40),
)
shapes = st.sampled_from([(3,), (2, 5), (2, 4, 5), (2, 5, 3, 3), (2, 5, 2, 3, 2)])


def tensors(shape: tuple[int, ...], seed: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


class TestGrammar:
    @given(sites)
    def test_what_is_printed_reads_back(self, site):
        assert Site.parse(str(site)) == site

    @pytest.mark.parametrize(
        ("text", "site"),
        [
            ("layer3", Site("layer3")),
            (" a.b#in ", Site("a.b", "in")),
            ("a#out", Site("a")),
            ("#in", Site("", "in")),
            ("h.0.attn#in@head=3@pos=-1", Site("h.0.attn", "in", 3, -1)),
            ("h@pos=0@head=2", Site("h", "out", 2, 0)),
        ],
    )
    def test_every_form(self, text, site):
        assert Site.parse(text) == site

    @pytest.mark.parametrize(
        "text", ["a b", "a#input", "a@head", "a@head=x", "a@pos=1.5", "a@pos=٣", "a@head=1#in"]
    )
    def test_what_is_no_site(self, text):
        with pytest.raises(MethodError, match="a site is path, path#in or path#out"):
            Site.parse(text)

    def test_a_selector_stands_once(self):
        with pytest.raises(MethodError, match="@pos stands twice"):
            Site.parse("a@pos=1@pos=2")

    @given(sites)
    def test_the_whole_has_neither_head_nor_position(self, site):
        assert site.whole == Site(site.path, site.port)
        assert site.whole.whole == site.whole


class TestEdits:
    @pytest.mark.parametrize(
        ("shape", "axis"), [((3,), 0), ((2, 5), 1), ((2, 4, 5), 2), ((2, 5, 3, 3), 1), ((2, 5, 2, 3, 2), 1)]
    )
    def test_the_feature_axis_is_channels_of_pictures_and_the_last_elsewhere(self, shape, axis):
        assert feature_axis(torch.zeros(shape)) == axis

    @given(shapes, st.integers(0, 100))
    def test_replace_add_and_scale(self, shape, seed):
        x, value = tensors(shape, seed), tensors(shape, seed + 1)
        assert torch.equal(Edit(Site("a"), "replace", value).apply(x), value)
        assert torch.equal(Edit(Site("a"), "replace", 2.0).apply(x), torch.full_like(x, 2))
        assert torch.equal(Edit(Site("a"), "add", value).apply(x), x + value)
        assert torch.equal(Edit(Site("a"), "scale", -0.5).apply(x), x * -0.5)
        assert torch.equal(Edit(Site("a"), "splice", torch.tanh).apply(x), torch.tanh(x))

    @given(shapes, st.integers(0, 100), st.integers(1, 3))
    @settings(max_examples=50)
    def test_project_out_leaves_nothing_along_the_directions_and_all_else(self, shape, seed, count):
        x = tensors(shape, seed)
        axis = feature_axis(x)
        width = shape[axis]
        count = min(count, width)
        directions = tensors((count, width), seed + 1)  # not orthogonal
        found = Edit(Site("a"), "project_out", directions).apply(x).movedim(axis, -1)
        assert torch.allclose(found @ directions.T, torch.zeros(1, dtype=torch.float64), atol=1e-10)
        # The closed form: x - x D' (D D')^-1 D.
        moved = x.movedim(axis, -1)
        solved = torch.linalg.solve(directions @ directions.T, directions)
        assert torch.allclose(found, moved - moved @ directions.T @ solved, atol=1e-8)
        again = Edit(Site("a"), "project_out", directions).apply(found.movedim(-1, axis))
        assert torch.allclose(again.movedim(axis, -1), found, atol=1e-10)
        if count == 1:
            flat = Edit(Site("a"), "project_out", directions[0]).apply(x)
            assert torch.allclose(flat.movedim(axis, -1), found, atol=1e-12)

    @given(shapes, st.integers(0, 100), st.data())
    def test_units_alone_are_changed(self, shape, seed, data):
        x = tensors(shape, seed)
        axis = feature_axis(x)
        units = data.draw(st.lists(st.integers(0, shape[axis] - 1), min_size=1, unique=True))
        found = Edit(Site("a"), "scale", 0.0, units=tuple(units)).apply(x).movedim(axis, -1)
        moved = x.movedim(axis, -1)
        for unit in range(shape[axis]):
            wanted = torch.zeros_like(moved[..., unit]) if unit in units else moved[..., unit]
            assert torch.equal(found[..., unit], wanted)

    def test_the_activation_itself_is_never_written_to(self):
        x = torch.ones(2, 3)
        for edit in (Edit(Site("a"), "add", 1.0), Edit(Site("a"), "scale", 0.0, units=(0,))):
            edit.apply(x)
        assert torch.equal(x, torch.ones(2, 3))

    def test_types_are_kept(self):
        x = torch.ones(2, 3, dtype=torch.bfloat16)
        for operation in ("replace", "add", "scale"):
            assert Edit(Site("a"), operation, torch.ones(3, dtype=torch.float64)).apply(x).dtype == x.dtype

    @pytest.mark.parametrize(
        ("edit", "told"),
        [
            (Edit(Site("a"), "splice", lambda x: x[:, :1]), r"turns the shape \(2, 3\) into \(2, 1\)"),
            (Edit(Site("a"), "replace", torch.zeros(4, 2, 3)), "turns the shape"),
            (Edit(Site("a"), "splice", 1.0), "splice takes a function"),
            (Edit(Site("a"), "add", torch.relu), "add takes a tensor or a number"),
            (Edit(Site("a"), "project_out", torch.zeros(2)), "directions have 2 features; here are 3"),
            (Edit(Site("a"), "project_out", torch.zeros(3)), "no direction"),
            (Edit(Site("a"), "scale", 0.0, units=(3,)), "there are 3 units"),
            (Edit(Site("a"), "add", torch.zeros(5)), "does not fit"),
        ],
    )
    def test_what_cannot_be_done_is_said(self, edit, told):
        with pytest.raises(MethodError, match=told):
            edit.apply(torch.ones(2, 3))
