// What a linter holds the front end to; tests/timetravel/test_front_end.py runs it.

import js from "@eslint/js";

const rules = ["eqeqeq", "prefer-const", "no-var", "no-shadow", "no-unused-expressions", "consistent-return",
  "no-param-reassign", "no-else-return", "object-shorthand", "arrow-body-style"];

export default [{
  languageOptions: { ecmaVersion: 2023, sourceType: "module" },
  rules: { ...js.configs.recommended.rules, ...Object.fromEntries(rules.map((rule) => [rule, "error"])),
    "no-undef": "off", // tsc knows the browser's names
    "no-unused-vars": ["error", { argsIgnorePattern: "^_", varsIgnorePattern: "^_" }] },
}];
