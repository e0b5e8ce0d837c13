// The smallest project that `sst dev` accepts: state on this machine, functions on AWS.
export default $config({
  app() {
    return {
      name: "app",
      home: "local",
      providers: { aws: { region: "us-east-1" } },
    };
  },
  async run() {},
});
