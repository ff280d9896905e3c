using Notify.Sandbox;
using Notify.Sandbox.Keys;

return args is ["keys", .. var options]
    ? KeysCommand.Run(options)
    : await SandboxHost.RunAsync(args);
