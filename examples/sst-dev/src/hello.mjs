export const handler = async (event, context) => {
  if (event.fail) throw new TypeError("on purpose");
  return { hello: event.name, request: context.awsRequestId };
};
