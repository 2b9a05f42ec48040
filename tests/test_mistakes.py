"""Claims that turn red when a model is broken on purpose: one line of the library is replaced, and the lesson runs quickly."""

from __future__ import annotations

import pytest

from .test_lessons import ROOT, program

BROKEN = {
    "the penalty's norm over the wrong axis": (
        "adversarial/gan_vs_wgan",
        "pydgm/models/adversarial/wgan.py",
        "(real.shape[0], -1)), axis=1)",
        "(real.shape[0], -1)), axis=0)",
        "estimate / K is the distance",
    ),
    "no penalty at all": (
        "adversarial/gan_vs_wgan",
        "lessons/adversarial/gan_vs_wgan.py",
        "LAMBDA, CLIP = 10.0, 0.1",
        "LAMBDA, CLIP = 0.0001, 0.1",
        "critic's slope is 1 + W / (2 lambda)",
    ),
    "a sigmoid that is sigma(2x)": (
        "adversarial/gan_vs_wgan",
        "pydgm/models/adversarial/gan.py",
        "greater(p, 0), -softplus(-logit)",
        "greater(p, 0), -softplus(-2 * logit)",
        "V(D*) = 2 JSD - log 4",
    ),
    "the sample's gradient stopped": (
        "latent/vae_reparameterization",
        "pydgm/models/latent/estimators.py",
        "ad.sum(r(m + s * noise))",
        "ad.sum(r(ad.stop_gradient(m) + s * noise))",
        "unbiased, reparameterised",
    ),
    "the KL term forgotten": (
        "latent/vae_reparameterization",
        "pydgm/models/latent/vae.py",
        "return expected - kl(q, model.prior)",
        "return expected",
        "ELBO <= log p(x) for every image",
    ),
    "importance weights without the prior": (
        "latent/vae_reparameterization",
        "pydgm/models/latent/vae.py",
        "+ model.prior.log_prob(z) - q",
        "- q",
        "importance sampling is the truth for the median image",
    ),
    "biases that are never used": (
        "energy/rbm_contrastive_divergence",
        "pydgm/models/energy/rbm.py",
        "return sigmoid(v @ self.W + self.a)",
        "return sigmoid(v @ self.W)",
        "gradient against finite differences",
    ),
    "probabilities where samples belong": (
        "energy/rbm_contrastive_divergence",
        "pydgm/models/energy/rbm.py",
        "v = rng.bernoulli(self.visible(rng.bernoulli(self.hidden(v))))",
        "v = self.visible(self.hidden(v))",
        "long chains find E[v_i]",
    ),
    "the sign of the negative phase": (
        "energy/rbm_contrastive_divergence",
        "pydgm/models/energy/contrastive.py",
        "- mean(model.free_energy(stop_gradient(v_model)))",
        "+ mean(model.free_energy(stop_gradient(v_model)))",
        "PCD over CD-1",
    ),
    "the minus sign of L3 and L4": (
        "flows/planar_flow",
        "pydgm/distributions/base.py",
        "return self.base.log_prob(z) + log_det",
        "return self.base.log_prob(z) - log_det",
        "every density integrates to 1",
    ),
    "the minus sign, in maximum likelihood": (
        "flows/maximum_likelihood",
        "pydgm/distributions/base.py",
        "return self.base.log_prob(z) + log_det",
        "return self.base.log_prob(z) - log_det",
        "every density integrates to 1",
    ),
    "the constraint on u dropped": (
        "flows/planar_flow",
        "pydgm/models/flows/planar.py",
        "s = softplus(wv + SHIFT)",
        "s = 1.0 + wv",
        "there and back",
    ),
    "the determinant lemma without the derivative": (
        "flows/planar_flow",
        "pydgm/models/flows/planar.py",
        "log(square(g) + s * (1.0 - square(g)))",
        "log(s + 0.0 * g)",
        "log det against the Jacobian",
    ),
    "the rule applied to A instead of B": (
        "constraints/rule_distillation",
        "pydgm/data/sentences.py",
        "return None if at is None else words[at + 1 :]",
        "return None if at is None else words[:at]",
        "grammar: the student believes what theory says",
    ),
    "pi that never rises": (
        "constraints/rule_distillation",
        "pydgm/models/constraints/distillation.py",
        "return min(limit, 1.0 - rate**t)",
        "return 0.0 * min(limit, 1.0 - rate**t)",
        "grammar: the student believes what theory says",
    ),
    "Z forgotten": (
        "constraints/rule_distillation",
        "pydgm/models/constraints/posterior.py",
        "return log_softmax(log_p + strength * f)",
        "return log_p + strength * f",
        "q* against an optimiser",
    ),
    "an E-step without the constraint": (
        "constraints/posterior_regularization",
        "pydgm/models/latent/mixture.py",
        "joint = model.log_joint(x) + f  # E",
        "joint = model.log_joint(x) + 0.0 * f",
        "hints in the E-step",
    ),
}


@pytest.mark.parametrize("mistake", BROKEN)
def test_a_broken_model_breaks_a_named_claim(tmp_path, mistake) -> None:
    name, file, right, wrong, claim = BROKEN[mistake]
    for folder in ("pydgm", "lessons"):
        for source in (ROOT / folder).rglob("*"):
            if source.suffix in (".py", ".mplstyle"):
                copy = tmp_path / source.relative_to(ROOT)
                copy.parent.mkdir(parents=True, exist_ok=True)
                copy.write_text(source.read_text(encoding="utf-8"), encoding="utf-8")
    text = (tmp_path / file).read_text(encoding="utf-8")
    assert text.count(right) == 1
    (tmp_path / file).write_text(text.replace(right, wrong), encoding="utf-8")
    script = tmp_path / "lessons" / f"{name}.py"
    done = program(script, "--quick", "--out", tmp_path / "out", cwd=tmp_path, PYTHONPATH=str(tmp_path))
    assert done.returncode == 1, done.stdout + done.stderr
    assert any("FAILS" in line and claim in line for line in done.stdout.splitlines()), done.stdout
