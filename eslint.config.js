// One type-aware linter with zero warnings: a rule is an error or absent.
import tseslint from 'typescript-eslint';

const NO_FORCED_TYPE = {
  selector: "TSAsExpression > TSAsExpression[typeAnnotation.type='TSUnknownKeyword']",
  message: 'Do not force a type with `as unknown as`.',
};

/** Errors of the packages have four parts, which those of JavaScript have not. */
const NO_RAW_ERROR = {
  selector: ':matches(NewExpression, CallExpression)[callee.name=/^(Range|Type|Syntax)?Error$/]',
  message: 'Throw one of the classes of errors.ts: where, expected, got, what to do.',
};

/** Libraries speak of their own options; the command adds its flags (cli/src/process/failure.ts). */
const NO_FLAG = ['Literal[value=', 'TemplateElement[value.raw='].map((node) => ({
  selector: `${node}/(^|[\\s(])--(?!experimental)[a-z]/]`,
  message: 'Name the option as the API does, and list it in the error’s `options`.',
}));

export default tseslint.config(
  {
    ignores: [
      '**/dist/',
      '**/node_modules/',
      '**/*.generated.*',
      'bench/results/',
      'packages/native/build/',
      'coverage/',
    ],
  },
  ...tseslint.configs.strictTypeChecked,
  {
    languageOptions: {
      parserOptions: {
        project: ['./tsconfig.lint.json'],
        tsconfigRootDir: import.meta.dirname,
      },
    },
    rules: {
      '@typescript-eslint/consistent-type-imports': ['error', { fixStyle: 'inline-type-imports' }],
      '@typescript-eslint/no-non-null-assertion': 'error',
      '@typescript-eslint/no-explicit-any': 'error',
      '@typescript-eslint/switch-exhaustiveness-check': 'error',
      // `noUncheckedIndexedAccess` is off, so a checked look-up in a record seems needless to this rule.
      '@typescript-eslint/no-unnecessary-condition': 'off',
      '@typescript-eslint/restrict-template-expressions': [
        'error',
        { allowNumber: true, allowBoolean: true },
      ],
      '@typescript-eslint/no-confusing-void-expression': ['error', { ignoreArrowShorthand: true }],
      // `async` also turns a thrown error into a rejection, which the executors promise.
      '@typescript-eslint/require-await': 'off',
      '@typescript-eslint/no-misused-spread': 'off',
      // Data records of methods (ops, methods, executors) are passed around whole.
      '@typescript-eslint/unbound-method': 'off',
      'no-restricted-syntax': ['error', NO_FORCED_TYPE],
      'no-console': 'error',
      eqeqeq: 'error',
    },
  },
  {
    files: ['bench/**', 'examples/**', 'pretrain/**', 'scripts/**', 'fuzz/**'],
    rules: { 'no-console': 'off' },
  },
  {
    files: ['packages/*/src/**/*.ts'],
    rules: { 'no-restricted-syntax': ['error', NO_FORCED_TYPE, NO_RAW_ERROR] },
  },
  {
    files: ['packages/{core,onnx}/src/**/*.ts'],
    rules: { 'no-restricted-syntax': ['error', NO_FORCED_TYPE, NO_RAW_ERROR, ...NO_FLAG] },
  },
  {
    // Standard streams have one writer, which knows what a lost one means.
    files: ['packages/cli/src/**'],
    ignores: ['packages/cli/src/terminal/streams.ts'],
    rules: {
      'no-restricted-properties': [
        'error',
        ...['stdout', 'stderr'].map((property) => ({
          object: 'process',
          property,
          message: 'Write through terminal/streams.ts.',
        })),
      ],
    },
  },
  {
    files: ['**/*.js'],
    ...tseslint.configs.disableTypeChecked,
  },
);
