#include <gateway/cli.hpp>

int main(int argc, char** argv) { return headgate::gateway::run_command_line(argc, argv); }
