/** What of an event goes into its JSON line. */

/** The fields of `event` for programs: without its name, and without what is only there for people. */
export function fieldsOf<E extends { readonly event: string }>(
  event: E,
  ...without: readonly (keyof E)[]
): Readonly<Record<string, unknown>> {
  const left: readonly PropertyKey[] = ['event', ...without];
  return Object.fromEntries(Object.entries(event).filter(([key]) => !left.includes(key)));
}
