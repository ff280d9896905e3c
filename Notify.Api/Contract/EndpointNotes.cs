namespace Notify.Api.Contract;

/// <summary>A scope that an endpoint asks for.</summary>
/// <param name="Others">Scopes that will do as well.</param>
public sealed record ScopeNote(string Scope, IReadOnlyList<string> Others);

/// <summary>A problem that is the endpoint's own; those that follow from scope and body need no note.</summary>
public sealed record ProblemNote(int Status, string Code, string Detail);
