// Three classes with a bell curve each, of width 1: what chapters 6 and 7 draw samples from.

export const MEANS = [-2, 0.5, 3];
export const PRIORS = [0.2, 0.5, 0.3];

// ln π_j + ln f_j(s), one row per sample; and the joint densities themselves.
export const logJoints = (samples) => samples.map((s) => MEANS.map((mean, j) => Math.log(PRIORS[j]) - (s - mean) ** 2 / 2 - Math.log(2 * Math.PI) / 2));
export const joints = (samples) => logJoints(samples).map((row) => row.map(Math.exp));

// Bayes' posterior: the joint densities' shares of their sum.
export const bayes = (samples) => samples.map((s) => {
  const each = MEANS.map((mean, j) => (PRIORS[j] * Math.exp(-((s - mean) ** 2) / 2)) / Math.sqrt(2 * Math.PI));
  const total = each.reduce((a, b) => a + b);
  return each.map((joint) => joint / total);
});

export const PYTHON_JOINT = `mean, prior = np.array([${MEANS.join(", ")}]), np.array([${PRIORS.join(", ")}])
joint = lambda s: np.log(prior) - (s[..., None] - mean)**2 / 2 - math.log(2 * math.pi) / 2`;
