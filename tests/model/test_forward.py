import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers import GPT2Config, GPT2LMHeadModel, LlamaForCausalLM

from rebar.model import forward
from rebar.model.forward import causal_logits, causal_states, language_loss
from tests.model.tiny import rows, tiny_llama


def reference_loss(model, inputs, targets):
    logits = model(input_ids=inputs).logits
    return torch.nn.functional.cross_entropy(logits.flatten(0, 1), targets.flatten())


def gradients(model, loss):
    model.zero_grad()
    loss.backward()
    return {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("plain_tokens", [512, 4])
@pytest.mark.parametrize(("heads", "key_value_heads"), [(4, 4), (4, 2), (4, 1)])
def test_llama_equals_transformers(monkeypatch, plain_tokens, heads, key_value_heads) -> None:
    monkeypatch.setattr(forward, "PLAIN_ATTENTION_TOKENS", plain_tokens)
    model = tiny_llama(heads=heads, key_value_heads=key_value_heads, deviation=0.1)
    monkeypatch.setattr(LlamaForCausalLM, "forward", None)  # it must not be what runs
    used = []
    for kernels, name in [
        (forward, "_plain_attention"),
        (forward.F, "scaled_dot_product_attention"),
    ]:
        kernel = getattr(kernels, name)
        monkeypatch.setattr(
            kernels, name, lambda *a, k=kernel, n=name, **o: used.append(n) or k(*a, **o)
        )
    loss = language_loss(model, *rows())
    assert set(used) == {
        "_plain_attention" if plain_tokens == 512 else "scaled_dot_product_attention"
    }
    ours = gradients(model, loss)
    monkeypatch.undo()
    expected = reference_loss(model, *rows())
    assert abs(loss.item() - expected.item()) < 1e-5
    theirs = gradients(model, expected)
    assert set(ours) == set(theirs)
    assert len(ours) == 2 * 9 + 2
    for name, gradient in theirs.items():
        assert (ours[name] - gradient).abs().max() < 1e-5, name


def test_padding_on_the_right_changes_nothing() -> None:
    model, (inputs, _) = tiny_llama(), rows()
    padded = torch.cat([inputs, torch.zeros(len(inputs), 3, dtype=torch.long)], dim=1)
    difference = causal_logits(model, padded)[:, :8] - causal_logits(model, inputs)
    assert difference.abs().max() < 1e-5


def test_position_and_order_matter() -> None:
    model = tiny_llama()
    ids = torch.tensor([[5, 6, 7, 7], [6, 5, 7, 7]])
    logits = causal_logits(model, ids)
    assert (logits[0, 2] - logits[1, 2]).abs().max() > 1e-3
    assert (logits[0, 2] - logits[0, 3]).abs().max() > 1e-3


def test_bf16_autocast_stays_near_float32() -> None:
    model = tiny_llama(deviation=0.05)
    exact = language_loss(model, *rows())
    with torch.autocast("cpu", torch.bfloat16):
        rough = language_loss(model, *rows())
    assert rough.dtype == torch.float32
    assert 0 < abs(rough - exact) < 0.02


def test_other_architectures_run_their_own_forward() -> None:
    torch.manual_seed(0)
    config = GPT2Config(vocab_size=24, n_positions=16, n_embd=16, n_layer=1, n_head=2)
    model = GPT2LMHeadModel(config).eval()
    assert torch.equal(language_loss(model, *rows()), reference_loss(model, *rows()))


def test_adapters_count() -> None:
    model = tiny_llama()
    adapted = get_peft_model(model, LoraConfig(r=2, target_modules="all-linear"))
    for name, parameter in adapted.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter)
    with adapted.disable_adapter():
        without = language_loss(adapted, *rows())
    assert abs(without - language_loss(tiny_llama(), *rows())) < 1e-5
    assert abs(language_loss(adapted, *rows()) - without) > 1e-2


def test_attention_dropout_is_not_forgotten() -> None:
    model = tiny_llama()
    model.config.attention_dropout = 0.5
    for layer in model.model.layers:
        layer.self_attn.attention_dropout = 0.5
    model.train()
    assert language_loss(model, *rows()) != language_loss(model, *rows())


def test_hidden_states_are_those_of_transformers() -> None:
    wide = GPT2Config(vocab_size=24, n_embd=32, n_layer=2, n_head=4, n_positions=64)
    for model in (tiny_llama(deviation=0.1), GPT2LMHeadModel(wide).eval()):
        inputs = rows()[0]
        expected = model(input_ids=inputs, output_hidden_states=True)
        logits, states = causal_states(model, inputs)
        torch.testing.assert_close(logits, expected.logits)
        assert len(states) == 3
        for here, there in zip(states, expected.hidden_states, strict=True):
            torch.testing.assert_close(here, there)
