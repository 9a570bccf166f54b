"""Expected values of packages/core/test/attack.test.ts, by scikit-learn.

    python reference/attack.py
"""

import numpy as np
from sklearn.linear_model import LogisticRegression

MEMBERS = [0.02, 0.1, 0.05, 0.6, 0.3, 0.01, 0.2]
OTHERS = [0.4, 0.9, 0.15, 1.1]

x = np.array(MEMBERS + OTHERS)[:, None]
y = [1] * len(MEMBERS) + [0] * len(OTHERS)
model = LogisticRegression(class_weight="balanced", tol=1e-12, max_iter=10000).fit(x, y)
print("slope", model.coef_[0, 0], "intercept", model.intercept_[0])
