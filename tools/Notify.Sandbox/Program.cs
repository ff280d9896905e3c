using Notify.Sandbox;
using Notify.Sandbox.Keys;

return args switch
{
    ["keys", .. var options] => KeysCommand.Run(options),
    ["settings", .. var options] => SettingsCommand.Run(options),
    ["health"] => await HealthCommand.RunAsync(),
    _ => await SandboxHost.RunAsync(args),
};
