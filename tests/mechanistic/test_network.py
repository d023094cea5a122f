"""One way to look into any module: what flows, changed where asked, with one gradient; against torch by hand."""

from __future__ import annotations

import collections
from typing import NamedTuple

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is not installed")

from hypothesis import given, settings  # noqa: E402
from hypothesis import strategies as st  # noqa: E402
from torch import nn  # noqa: E402

from tests.deep import image_frame, text_frame  # noqa: E402
from tests.mechanistic.test_readers import tokenizer  # noqa: E402
from xai_audit.errors import MethodError, UnmetNeedError  # noqa: E402
from xai_audit.mechanistic.network import Network, target  # noqa: E402
from xai_audit.mechanistic.readers import ImageReader, TableReader, TextReader  # noqa: E402
from xai_audit.mechanistic.sites import Edit, Site  # noqa: E402

INPUT = Site("", "in")


def given_weights(module: nn.Module, seed: int = 0) -> nn.Module:
    generator = torch.Generator().manual_seed(seed)
    for parameter in module.parameters():
        parameter.data = torch.randn(parameter.shape, generator=generator) * 0.5
    return module


def draw(*shape: int, seed: int = 1) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


class Out(NamedTuple):
    hidden: torch.Tensor
    rest: int


class Pair(nn.Module):
    """Gives a tuple, a dictionary or a named tuple, and asks for its input by name."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.layer, self.kind = nn.Linear(4, 4), kind

    def forward(self, *, values: torch.Tensor, scale: float = 1.0):
        found = self.layer(values) * scale
        made = {
            "tuple": (found, 7),
            "list": [found, 7],
            "dict": {"hidden": found, "rest": 7},
            "named": Out(found, 7),
        }
        return made[self.kind]


class Around(nn.Module):
    def __init__(self, kind: str) -> None:
        super().__init__()
        self.inner, self.kind, self.head = Pair(kind), kind, nn.Linear(4, 3)

    def forward(self, x):
        found = self.inner(values=x, scale=2.0)
        return self.head(torch.tanh(found["hidden"] if self.kind == "dict" else found[0]))


class Twice(nn.Module):
    """One layer that runs twice in a pass."""

    def __init__(self) -> None:
        super().__init__()
        self.shared, self.head, self.never = nn.Linear(4, 4), nn.Linear(4, 2), nn.Linear(1, 1)

    def forward(self, x):
        return self.head(self.shared(torch.relu(self.shared(x))))


class Transformer(nn.Module):
    """Token ids and a mask to classes, with torch's own layers."""

    def __init__(self) -> None:
        super().__init__()
        self.words = nn.Embedding(11, 8)
        self.layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True, dropout=0.0)
        self.head = nn.Linear(8, 2)

    def forward(self, input_ids, attention_mask):
        state = self.layer(self.words(input_ids), src_key_padding_mask=attention_mask == 0)
        return {"logits": self.head(state[:, 0])}


def picture_net() -> nn.Module:
    return given_weights(
        nn.Sequential(
            nn.Conv2d(3, 4, 3),
            nn.BatchNorm2d(4),
            nn.ReLU(inplace=True),
            nn.Flatten(),
            nn.Dropout(),
            nn.Linear(64, 3),
        )
    )


def modules() -> dict[str, tuple[nn.Module, torch.Tensor, list[str]]]:
    """Modules with an input and sites within, from a perceptron to five axes."""
    return {
        "perceptron": (nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 3)), draw(5, 4), ["0", "1"]),
        "in place": (nn.Sequential(nn.Linear(4, 6), nn.ReLU(inplace=True), nn.Linear(6, 3)), draw(5, 4), ["0", "1"]),
        "pictures": (picture_net(), draw(5, 3, 6, 6), ["0", "1", "2", "3"]),
        "volumes": (nn.Sequential(nn.Conv3d(1, 2, 2), nn.ReLU(), nn.Flatten(), nn.Linear(16, 2)), draw(5, 1, 3, 3, 3), ["0", "1"]),
        "sequences": (
            nn.Sequential(nn.Linear(4, 6), nn.GELU(), nn.Flatten(), nn.Linear(18, 2)), draw(5, 3, 4), ["0", "1"],
        ),
        **{kind: (Around(kind), draw(5, 4), ["inner", "inner.layer"]) for kind in ("tuple", "list", "dict", "named")},
    }  # fmt: skip


NAMES = sorted(modules())


@pytest.fixture(params=NAMES)
def case(request):
    module, batch, paths = modules()[request.param]
    return Network(given_weights(module)), batch, [Site(path) for path in paths]


def hooks(module: nn.Module) -> int:
    return sum(len(one._forward_hooks) + len(one._forward_pre_hooks) for one in module.modules())


class TestLooking:
    def test_looking_changes_no_bit(self, case):
        network, batch, sites = case
        plain = network.run(batch).outputs
        everything = [*sites, *(Site(site.path, "in") for site in sites), INPUT, Site("")]
        ran = network.run(batch, capture=everything, grad_of=0)
        assert torch.equal(ran.outputs, plain)
        assert torch.equal(ran.captured[Site("")].reshape(plain.shape), plain)
        assert torch.equal(ran.captured[INPUT], batch)
        assert torch.equal(network.run(batch).outputs, plain)
        assert hooks(network.module) == 0
        with torch.no_grad():
            found = network.module(batch)
        assert torch.equal(found, plain)

    def test_what_is_captured_is_what_the_module_gives(self, case):
        network, batch, sites = case
        seen = {}
        for site in sites:
            module = network.module.get_submodule(site.path)

            def take(_, __, out, site=site):
                seen[site] = _first(out).clone()

            handle = module.register_forward_hook(take)
            with torch.no_grad():
                network.module(batch)
            handle.remove()
        ran = network.run(batch, capture=sites)
        assert all(torch.equal(ran.captured[site], seen[site]) for site in sites)
        assert not any(value.requires_grad for value in ran.captured.values())

    def test_gradients_are_those_of_torch_by_hand(self, case):
        network, batch, sites = case
        ran = network.run(batch, capture=[*sites, INPUT], grad_of=1)
        given = batch.clone().requires_grad_(True)
        network.module(given)[:, 1].sum().backward()
        assert torch.allclose(ran.gradients[INPUT], given.grad, atol=1e-6)
        for site in sites:
            # By putting a leaf in the place of what flows there.
            leaf = ran.captured[site].clone().requires_grad_(True)
            put = Edit(site, "splice", lambda _, leaf=leaf: leaf)
            with torch.enable_grad():
                handle_out = _with_leaf(network, batch, put)
            handle_out[:, 1].sum().backward()
            assert torch.allclose(ran.gradients[site], leaf.grad, atol=1e-6), site

    def test_one_pass_forward_and_at_most_one_backward(self, case):
        network, batch, sites = case
        counts = collections.Counter()
        handles = [
            network.module.register_forward_hook(lambda *_: counts.update(["forward"])),
        ]
        ran = network.run(batch, capture=sites)
        assert counts == {"forward": 1}
        assert ran.gradients == {}

        def once(outputs):
            outputs.register_hook(lambda _: counts.update(["backward"]))
            return outputs[:, 0]

        network.run(batch, capture=sites, grad_of=once)
        assert counts == {"forward": 2, "backward": 1}
        for handle in handles:
            handle.remove()

    def test_nothing_of_a_pass_is_kept(self, case):
        network, batch, sites = case
        ran = network.run(batch, capture=sites, grad_of=0)
        assert all(parameter.grad is None for parameter in network.module.parameters())
        assert not any(parameter.requires_grad for parameter in network.module.parameters())
        assert not network.module.training
        for value in (ran.outputs, *ran.captured.values(), *ran.gradients.values()):
            assert not value.requires_grad
            assert value.grad_fn is None


def _first(out):
    while not isinstance(out, torch.Tensor):
        out = next(iter(out.values())) if isinstance(out, dict) else out[0]
    return out


def _with_leaf(network: Network, batch: torch.Tensor, edit: Edit) -> torch.Tensor:
    """The module's outputs with a graph, with one edit made by a hook of the test's own."""
    from xai_audit.mechanistic.ports import _with_first

    module = network.module.get_submodule(edit.site.path)
    handle = module.register_forward_hook(
        lambda _, __, out: _with_first(out, lambda x: edit.apply(x).clone(), edit.site)
    )
    try:
        return network.module(batch)
    finally:
        handle.remove()


class TestEdits:
    def test_an_edit_acts_on_what_comes_after_it(self, case):
        network, batch, sites = case
        site = sites[0]
        ran = network.run(batch, capture=[site])
        same = network.run(batch, edits=[Edit(site, "replace", ran.captured[site])])
        assert torch.equal(same.outputs, ran.outputs)
        gone = network.run(batch, capture=[site], edits=[Edit(site, "scale", 0.0)])
        assert torch.equal(gone.captured[site], torch.zeros_like(ran.captured[site]))
        assert not torch.equal(gone.outputs, ran.outputs)
        assert torch.equal(network.run(batch).outputs, ran.outputs)  # the module itself is as it was

    def test_edits_of_one_site_are_made_in_their_order(self):
        network = Network(given_weights(nn.Sequential(nn.Linear(4, 3))))
        x, site = draw(2, 4), Site("0")
        plain = network.run(x).outputs
        one = network.run(x, edits=[Edit(site, "add", 1.0), Edit(site, "scale", 2.0)]).outputs
        other = network.run(x, edits=[Edit(site, "scale", 2.0), Edit(site, "add", 1.0)]).outputs
        assert torch.allclose(one, (plain + 1) * 2)
        assert torch.allclose(other, plain * 2 + 1)

    def test_edits_and_gradients_together(self):
        module = given_weights(nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 2)))
        network, x = Network(module), draw(3, 4)
        edit = Edit(Site("1"), "scale", 3.0)
        ran = network.run(x, capture=[INPUT, Site("0"), Site("1")], edits=[edit], grad_of=0)
        given = x.clone().requires_grad_(True)
        module[2](torch.tanh(module[0](given)) * 3)[:, 0].sum().backward()
        assert torch.allclose(ran.gradients[INPUT], given.grad, atol=1e-6)
        # At the edited site it is with respect to what flows on, after the edit.
        assert torch.allclose(ran.gradients[Site("1")], module[2].weight[0].expand(3, 5), atol=1e-6)
        cut = network.run(x, capture=[INPUT, Site("1")], edits=[Edit(Site("1"), "replace", 0.5)], grad_of=0)
        assert torch.equal(cut.gradients[INPUT], torch.zeros_like(x))

    def test_what_a_caller_gives_is_never_written_to(self):
        module = given_weights(nn.Sequential(nn.Linear(4, 5), nn.ReLU(inplace=True), nn.Linear(5, 2)))
        value, x = torch.full((5,), -1.0), draw(3, 4)
        Network(module).run(x, edits=[Edit(Site("0"), "replace", value)])
        assert torch.equal(value, torch.full((5,), -1.0))
        before = x.clone()
        Network(nn.Sequential(nn.ReLU(inplace=True), module)).run(x, capture=[INPUT])
        assert torch.equal(x, before)

    def test_a_splice_that_fails_leaves_no_hook(self, case):
        network, batch, sites = case

        def fails(_):
            message = "on purpose"
            raise ZeroDivisionError(message)

        with pytest.raises(ZeroDivisionError):
            network.run(batch, capture=sites, edits=[Edit(sites[-1], "splice", fails)], grad_of=0)
        assert hooks(network.module) == 0
        assert torch.is_grad_enabled()

    @given(st.integers(0, 10_000))
    @settings(max_examples=20, deadline=None)
    def test_a_direction_taken_out_has_no_effect_any_more(self, seed):
        module = given_weights(nn.Sequential(nn.Linear(4, 5), nn.Linear(5, 2)), seed)
        network, x = Network(module), draw(6, 4, seed=seed)
        direction = draw(5, seed=seed + 1)
        out = Edit(Site("0"), "project_out", direction)
        plain = network.run(x, edits=[out]).outputs
        pushed = network.run(x, edits=[Edit(Site("0"), "add", 3 * direction), out]).outputs
        assert torch.allclose(plain, pushed, atol=1e-4)


class TestWhatIsRefused:
    def test_a_site_that_is_not_there(self):
        network = Network(picture_net())
        with pytest.raises(MethodError, match="no module 'conv' in this network; there are 0, 1, 2"):
            network.check(Site("conv"))

    def test_a_module_that_runs_twice_is_refused_with_the_count(self):
        network = Network(given_weights(Twice()))
        for more in ({"capture": [Site("shared")]}, {"edits": [Edit(Site("shared"), "scale", 0.0)]}):
            with pytest.raises(MethodError, match="shared runs 2 times in one pass"):
                network.run(draw(3, 4), **more)
        assert hooks(network.module) == 0

    def test_a_module_that_does_not_run(self):
        network = Network(given_weights(Twice()))
        with pytest.raises(MethodError, match="nothing flowed through never in this pass"):
            network.run(draw(3, 4), capture=[Site("never")])

    def test_positions_and_heads_that_are_not_there(self):
        network = Network(given_weights(nn.Sequential(nn.Linear(4, 6), nn.Flatten(), nn.Linear(18, 2))))
        x = draw(2, 3, 4)
        for site, told in (
            (Site("0", pos=3), "there are 3 positions in the shortest row"),
            (Site("0", pos=-4), "there are 3 positions"),
            (Site("1", pos=0), r"@pos asks for \(batch, position, feature\); here is \(2, 18\)"),
            (Site("0", head=0), "does not say how many heads"),
        ):
            with pytest.raises(MethodError, match=told):
                network.run(x, capture=[site])

    def test_outputs_that_are_no_classes(self):
        with pytest.raises(
            MethodError, match=r"gives \(rows, classes\) or \(rows,\); this one gives \(2, 3, 4\)"
        ):
            Network(nn.Identity()).run(draw(2, 3, 4))

    def test_a_gradient_that_does_not_exist(self):
        class Cut(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.layer = nn.Linear(4, 2)

            def forward(self, x):
                return self.layer(x).detach()

        with pytest.raises(
            MethodError, match="do not depend on the captured sites through anything differentiable"
        ):
            Network(Cut()).run(draw(2, 4), capture=[Site("layer")], grad_of=0)

    def test_opaque_networks_have_an_input_and_an_output(self):
        network = Network(picture_net(), opaque="it hides its modules")
        assert network.sites() == []
        x = draw(2, 3, 6, 6)
        assert network.run(x, capture=[INPUT], grad_of=0).gradients[INPUT].shape == x.shape
        with pytest.raises(UnmetNeedError, match="0: it hides its modules"):
            network.run(x, capture=[Site("0")])


class TestTargets:
    def test_a_class_each_rows_class_and_a_function(self):
        outputs = draw(4, 3)
        assert torch.equal(target(outputs, 2), outputs[:, 2])
        index = torch.tensor([0, 2, 1, 1])
        assert torch.equal(target(outputs, index), outputs[torch.arange(4), index])
        assert torch.equal(target(outputs, lambda found: found.sum(1)), outputs.sum(1))

    def test_one_output_stands_for_both_classes(self):
        outputs = draw(4, 1)
        assert torch.equal(target(outputs, 1), outputs[:, 0])
        assert torch.equal(target(outputs, 0), -outputs[:, 0])


class TestLinks:
    @pytest.mark.parametrize(
        ("link", "width", "wanted"),
        [
            ("softmax", 3, lambda x: torch.softmax(x, 1)),
            ("sigmoid", 1, lambda x: torch.cat([1 - torch.sigmoid(x), torch.sigmoid(x)], 1)),
            ("sigmoid", 3, torch.sigmoid),
            ("pair", 1, lambda x: torch.cat([1 - x, x], 1)),
            ("sides", 1, lambda x: torch.cat([-x, x], 1)),
            ("none", 3, lambda x: x),
        ],
    )
    def test_scores_are_the_links(self, link, width, wanted):
        outputs = draw(5, width)
        network = Network(nn.Linear(1, 1), link=link)
        assert torch.allclose(network.linked(outputs), wanted(outputs.double()), atol=1e-12)

    def test_small_chances_of_both_sides_are_kept(self):
        found = Network(nn.Linear(1, 1), link="sigmoid").linked(
            torch.tensor([[60.0], [-60.0]], dtype=torch.float64)
        )
        assert found[0, 0] == pytest.approx(np.exp(-60), rel=1e-9)
        assert found[1, 1] == pytest.approx(np.exp(-60), rel=1e-9)


class TestTexts:
    @pytest.fixture
    def network(self) -> Network:
        return Network(given_weights(Transformer()), TextReader("t", tokenizer()), micro=4)

    @pytest.fixture
    def frame(self):
        rng = np.random.default_rng(3)
        words = ["a", "good", "bad", "film", "very", "not", "."]
        return text_frame([" ".join(rng.choice(words, rng.integers(0, 20))) for _ in range(23)], "t")

    def test_padding_and_order_change_nothing_but_last_digits(self, network, frame):
        found = network.outputs(frame)
        alone = np.concatenate([network.outputs(frame.iloc[[row]]) for row in range(len(frame))])
        assert np.allclose(found, alone, atol=1e-5)
        assert np.array_equal(found, network.outputs(frame))
        other = frame.iloc[::-1].reset_index(drop=True)
        assert np.allclose(network.outputs(other)[::-1], found, atol=1e-5)

    def test_texts_of_like_length_go_together(self, network, frame):
        shapes = []
        handle = network.module.words.register_forward_hook(lambda _, args, __: shapes.append(args[0].shape))
        network.outputs(frame)
        handle.remove()
        longest = [shape[1] for shape in shapes]
        assert longest == sorted(longest)
        assert sum(shape.numel() for shape in shapes) < len(frame) * max(longest)

    def test_gradients_at_embeddings(self, network, frame):
        batch = network.reader.batch(frame.head(5))
        words = Site("words")
        ran = network.run(batch, capture=[words], grad_of=1)
        table = network.module.words.weight
        leaf = table[batch["input_ids"]].clone().requires_grad_(True)
        layer, head = network.module.layer, network.module.head
        state = layer(leaf, src_key_padding_mask=batch["attention_mask"] == 0)
        head(state[:, 0])[:, 1].sum().backward()
        assert torch.allclose(ran.gradients[words], leaf.grad, atol=1e-5)
        with pytest.raises(MethodError, match=r"#in holds torch\.int64; there is no gradient there"):
            network.run(batch, capture=[INPUT], grad_of=1)

    def test_sites_within_fused_layers_are_reached_and_looking_changes_no_bit(self, network, frame):
        batch = network.reader.batch(frame.head(5))
        site = Site("layer.linear1")
        ran = network.run(batch, capture=[site])
        assert ran.captured[site].shape == (*batch["input_ids"].shape, 16)
        assert torch.equal(ran.outputs, network.run(batch).outputs)

    def test_positions_count_from_each_texts_own_end(self, network, frame):
        batch = network.reader.batch(frame.head(6))
        ends = batch["attention_mask"].sum(1)
        whole, last, first = Site("layer"), Site("layer", pos=-1), Site("layer", pos=1)
        ran = network.run(batch, capture=[whole, last, first], grad_of=0)
        rows = torch.arange(6)
        assert torch.equal(ran.captured[last], ran.captured[whole][rows, ends - 1])
        assert torch.equal(ran.captured[first], ran.captured[whole][:, 1])
        assert torch.equal(ran.gradients[last], ran.gradients[whole][rows, ends - 1])
        edited = network.run(batch, capture=[whole], edits=[Edit(last, "replace", 9.0)]).captured[whole]
        assert (edited[rows, ends - 1] == 9).all()
        kept = torch.ones(edited.shape[:2], dtype=torch.bool)
        kept[rows, ends - 1] = False
        assert torch.equal(edited[kept], ran.captured[whole][kept])
        short = int(ends.min())
        with pytest.raises(MethodError, match=f"there are {short} positions in the shortest row"):
            network.run(batch, capture=[Site("layer", pos=short)])

    def test_activations_of_texts_ask_for_a_position(self, network, frame):
        with pytest.raises(MethodError, match=r"batches give different shapes .* name a position, as @pos=0"):
            network.activations(frame, [Site("layer")])
        assert network.activations(frame, [Site("layer", pos=0)])[Site("layer", pos=0)].shape == (23, 8)

    def test_mixed_heads_cannot_be_named(self, network):
        with pytest.raises(MethodError, match="mixes its heads before they come out"):
            network.check(Site("layer.self_attn", head=0))


class Attention(nn.Module):
    """An attention whose heads lie side by side until they are mixed."""

    def __init__(self) -> None:
        super().__init__()
        self.num_heads = 3
        self.q_proj, self.o_proj = nn.Linear(6, 6), nn.Linear(6, 6)

    def forward(self, x):
        return self.o_proj(torch.tanh(self.q_proj(x)))


class Model(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.attention, self.mlp, self.head = Attention(), nn.Linear(6, 6), nn.Linear(6, 2)

    def forward(self, x):
        return self.head(self.mlp(self.attention(x)).mean(1))


class TestHeads:
    def test_a_head_is_its_part_of_the_last_axis(self):
        network, x = Network(given_weights(Model())), draw(2, 4, 6)
        site = Site("attention.q_proj", head=1)
        ran = network.run(x, capture=[site, site.whole, Site("attention.o_proj", "in", head=2)], grad_of=0)
        assert torch.equal(ran.captured[site], ran.captured[site.whole][..., 2:4])
        assert torch.equal(ran.gradients[site], ran.gradients[site.whole][..., 2:4])
        gone = network.run(x, capture=[site.whole], edits=[Edit(site, "scale", 0.0)]).captured[site.whole]
        assert (gone[..., 2:4] == 0).all()
        assert torch.equal(gone[..., :2], ran.captured[site.whole][..., :2])
        at = Site("attention.q_proj", head=1, pos=2)
        one = network.run(x, capture=[site.whole], edits=[Edit(at, "add", 5.0)]).captured[site.whole]
        changed = (one != ran.captured[site.whole]).nonzero()
        assert {tuple(row[1:].tolist()) for row in changed} == {(2, 2), (2, 3)}

    @pytest.mark.parametrize(
        ("site", "told"),
        [
            (Site("attention.q_proj", head=3), "there are 3 heads"),
            (
                Site("attention.o_proj", head=0),
                r"this layer mixes the heads; they are in its input, attention\.o_proj#in",
            ),
            (Site("mlp", head=0), "does not say how many heads"),
        ],
    )
    def test_what_is_no_head(self, site, told):
        with pytest.raises(MethodError, match=told):
            Network(Model()).check(site)


class TestRows:
    def test_outputs_scores_and_activations_of_any_rows(self):
        rng = np.random.default_rng(0)
        frame = image_frame(rng.integers(0, 256, (70, 6, 6, 3), dtype=np.uint8))
        network = Network(picture_net(), ImageReader(), micro=32)
        found = network.outputs(frame)
        whole = network.run(network.reader.batch(frame)).outputs.double().numpy()
        assert np.allclose(found, whole, atol=1e-5)
        assert np.allclose(network.scores(frame).sum(axis=1), 1)
        kept = network.activations(frame, [Site("2"), Site("3")])
        assert kept[Site("2")].shape == (70, 4, 4, 4)
        assert kept[Site("2")].dtype == np.float32
        assert np.array_equal(kept[Site("3")], kept[Site("2")].reshape(70, -1))
        assert network.outputs(frame.head(0)).shape == (0, 1)

    def test_a_table_has_no_order_of_its_own(self):
        import pandas as pd

        frame = pd.DataFrame(np.random.default_rng(0).normal(size=(300, 2)), columns=["a", "b"])
        network = Network(given_weights(nn.Sequential(nn.Linear(2, 3))), TableReader(("a", "b")), micro=256)
        assert np.allclose(network.outputs(frame)[::-1], network.outputs(frame[::-1]), atol=1e-6)

    def test_threads_are_as_they_were_and_change_no_bit(self):
        rng = np.random.default_rng(0)
        frame = image_frame(rng.integers(0, 256, (40, 6, 6, 3), dtype=np.uint8))
        network, before = Network(picture_net(), ImageReader()), torch.get_num_threads()
        try:
            found = []
            for threads in (1, 2):
                torch.set_num_threads(threads)
                found.append(network.outputs(frame))
                assert torch.get_num_threads() == threads
        finally:
            torch.set_num_threads(before)
        assert np.array_equal(*found)


class TestTwins:
    def test_a_twin_is_another_function_of_the_same_numbers(self, case):
        network, batch, _ = case
        plain = network.run(batch).outputs
        twin = network.twin(np.random.default_rng(0))
        assert not torch.allclose(twin.run(batch).outputs, plain, atol=1e-2)
        assert torch.equal(network.run(batch).outputs, plain)
        pairs = zip(network.module.parameters(), twin.module.parameters(), strict=True)
        for mine, its in pairs:
            assert torch.equal(mine.flatten().sort().values, its.flatten().sort().values)
        buffers = zip(network.module.buffers(), twin.module.buffers(), strict=True)
        assert all(torch.equal(mine, its) for mine, its in buffers)
        again = network.twin(np.random.default_rng(0))
        assert torch.equal(again.run(batch).outputs, twin.run(batch).outputs)

    def test_what_is_shared_stays_shared(self):
        module = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4))
        module[1].weight = module[0].weight
        twin = Network(module).twin(np.random.default_rng(1)).module
        assert twin[1].weight is twin[0].weight

    def test_without_parameters_there_is_none(self):
        with pytest.raises(MethodError, match="shows no parameters"):
            Network(nn.Flatten()).twin(np.random.default_rng(0))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_other_precisions(dtype):
    module = given_weights(nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 2))).to(dtype)
    network, site, x = Network(module), Site("1"), draw(3, 4)
    ran = network.run(x, capture=[site], edits=[Edit(site, "add", torch.ones(5))], grad_of=0)
    assert ran.captured[site].dtype == dtype
    assert ran.gradients[site].dtype == dtype
    import pandas as pd

    frame = pd.DataFrame(x.numpy(), columns=list("abcd"))
    network.reader = TableReader(tuple("abcd"))
    assert network.outputs(frame).dtype == np.float64
    assert network.activations(frame, [site])[site].dtype == np.float32


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device here")
def test_on_cuda_everything_comes_back():
    import pandas as pd

    module = given_weights(nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 2)))
    frame = pd.DataFrame(draw(9, 4).numpy(), columns=list("abcd"))
    reader = TableReader(tuple("abcd"))
    here = Network(module, reader)
    plain = here.outputs(frame)
    there = Network(module, reader, device="cuda")
    assert np.allclose(there.outputs(frame), plain, atol=1e-5)
    assert there.activations(frame, [Site("1")])[Site("1")].shape == (9, 5)
    ran = there.run(reader.batch(frame), capture=[INPUT], edits=[Edit(Site("1"), "scale", 2.0)], grad_of=1)
    assert ran.gradients[INPUT].device.type == "cuda"
